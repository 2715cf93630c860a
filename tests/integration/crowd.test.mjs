// Made-up keys by the hundred wait at a real node, from a hundred networks, and fill its list; one with a token is let in
// all the same. By hand, with ten thousand: CROWD_KEYS=10000 ctest --preset dev -R integration_crowd -V
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import {join} from 'node:path';
import {readFileSync} from 'node:fs';
import {withMesh, waitFor, waitEqual, ctl, ctlJson, run, bin} from './lib/mesh.mjs';

const KEYS = Number(process.env.CROWD_KEYS ?? 700), PER_SECOND = 60;
const LISTED_MAX = 256, LISTED_PER_NETWORK = 32, NETWORKS = 100;
const megabytes = node => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, 'utf8'))[1]) / 1024;

// Each connection goes on from another one of 100 networks.
async function fromEverywhere(mesh, target) {
  const [host, port] = target.split(':');
  let count = 0;
  const server = net.createServer(client => {
    const other = net.connect({host, port: Number(port), localAddress: `127.0.${1 + count++ % NETWORKS}.1`});
    for (const [from, to] of [[client, other], [other, client]]) {
      from.on('data', bytes => to.write(bytes));
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  mesh.processes.push({kill: () => server.close()});
  return `127.0.0.1:${server.address().port}`;
}

test(`${KEYS} made-up keys wait, and one with a token comes`, withMesh('crowd', async mesh => {
  const [n1, n2] = await mesh.cluster(2);
  const {token} = await ctlJson(n1, 'token', 'create', '--uses', '1');
  const before = megabytes(n1);
  const crowd = run(join(bin, 'crowd'), [await fromEverywhere(mesh, n1.mesh), String(KEYS), String(PER_SECOND)], {timeout: 300_000});
  const pending = async () => (await ctlJson(n1, 'nodes', 'pending')).items;
  let listed = [];
  await waitFor('many wait', async () => (listed = await pending()).length >= LISTED_MAX / 2, {every: 200});

  const began = performance.now();
  const honest = await mesh.start('honest', {join: n1.mesh, token});
  await mesh.ready(honest, 3);
  console.log(`# with ${listed.length} waiting, one with a token was in and ready after ${(performance.now() - began).toFixed(0)} ms`);

  const {code, stdout, stderr} = await crowd;
  assert.equal(code, 0, stderr);
  const told = JSON.parse(stdout);
  listed = await pending();
  console.log(`# ${stdout.trim()}; ${listed.length} listed; ${before.toFixed(1)} -> ${megabytes(n1).toFixed(1)} MB`);
  assert.ok(told.waiting + told.full > KEYS / 2, stdout); // else it was no crowd
  assert.ok(told.waiting > 0 && told.full > 0, stdout); // the list was full
  assert.ok(listed.length <= LISTED_MAX, `${listed.length} listed`);
  const networks = new Map();
  for (const {address} of listed) {
    const network = address.split('.').slice(0, 3).join('.');
    networks.set(network, (networks.get(network) ?? 0) + 1);
  }
  assert.ok(networks.size > 20, `they came from ${networks.size} networks`);
  assert.ok(Math.max(...networks.values()) <= LISTED_PER_NETWORK);
  assert.ok(megabytes(n1) - before < 32, `${before} -> ${megabytes(n1)} MB`);

  // The list is full of them, and people still find theirs: by its whole id, not by the beginning of it, nor other words.
  const one = listed[0];
  assert.equal((await ctl(n1, 'nodes', 'approve', one.id.slice(0, 8))).code, 5);
  assert.equal((await ctl(n1, 'nodes', 'approve', ...one.words.split(' ').slice(0, 7), listed[1].words.split(' ')[7])).code, 5);
  assert.equal((await pending()).length, listed.length);
  assert.equal((await ctl(n1, 'nodes', 'approve', one.id)).code, 0);
  const alive = async () => (await ctlJson(n2, 'nodes')).items.filter(item => item.status === 'alive').map(item => item.name).sort();
  await waitEqual('n2 knows those that were let in', alive, ['honest', 'n1', 'n2']);
  for (const node of [n1, n2, honest]) assert.equal(node.exit, null);
}));
