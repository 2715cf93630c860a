// What all nodes agree on, as its users see it; under faults: campaign.test.mjs.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {closeSync, openSync, readFileSync, readSync, readdirSync, writeSync} from 'node:fs';
import {execFileSync} from 'node:child_process';
import {withMesh, waitFor, ctl, bin} from './lib/mesh.mjs';
import {ask, status, voters} from './lib/history.mjs';

test('the checker tells a stale read', () => {
  assert.throws(() => execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 1 50 60\n'}));
  assert.match(execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 2 50 60\n', encoding: 'utf8'}), /0 not linearizable/);
});

// Requests of many callers in one: each has its own answer, in their order; one that cannot be read stops all.
async function bundles(node) {
  const bundle = requests => ask(node, 'POST', '/v1/state', {requests});
  const {status, body} = await bundle([{op: 'put', key: 'b1', value: 'one'}, {op: 'put', key: 'b2', value: 'x', if_rev: 7},
    {op: 'incr', key: 'b3', by: 5}, {op: 'get', key: 'a'}, {op: 'get', key: 'none'}, {op: 'rm', key: 'none'}]);
  assert.equal(status, 200);
  assert.equal(body.kind, 'StateBundle');
  assert.ok(body.items[0].rev > 0);
  assert.equal(body.items[1].error.code, 'conflict');
  assert.equal(body.items[2].number, 5);
  assert.equal(body.items[3].value, '1');
  assert.equal(body.items[4].error.code, 'not_found');
  assert.equal(body.items[5].error.code, 'not_found');
  for (const wrong of [[], {}, [{op: 'put', key: 'b4', value: '1'}, {op: 'swap', key: 'b'}], [{op: 'put', key: 'b4', value: '1'}, {op: 'put', key: 'b'}],
    [{op: 'get'}], [7], Array.from({length: 257}, () => ({op: 'get', key: 'a'}))])
    assert.equal((await bundle(wrong)).status, 400, JSON.stringify(wrong));
  assert.equal((await ask(node, 'GET', '/v1/state/b4')).status, 404);
  // A key that is no text could be listed only under another name.
  for (const [method, path, body] of [['PUT', '/v1/state/%ff%fe', {value: 'x'}], ['POST', '/v1/state/a%ff/incr', {by: 1}]])
    assert.equal((await ask(node, method, path, body)).status, 400, path);
  assert.equal((await ask(node, 'PUT', '/v1/state/%c3%a4', {value: 'x'})).status, 200);
  // The same client and seq twice in one bundle: applied once.
  const twice = {op: 'incr', key: 'b5', by: 1, client: '7d9c1f3e-0000-4000-8000-000000000001', seq: 1};
  const both = (await bundle([twice, twice])).body.items;
  assert.deepEqual(both[0], both[1]);
  assert.equal((await ask(node, 'GET', '/v1/state/b5')).body.value, '1');
}

// Where the node's log has the text of a key that was put long before the end.
function places(node, text) {
  const dir = join(node.data, 'log'), found = [];
  for (const name of readdirSync(dir)) {
    const path = join(dir, name), bytes = readFileSync(path);
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) found.push({path, at});
  }
  return found;
}

function flip({path, at}) {
  const fd = openSync(path, 'r+'), byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] ^= 0x10;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

// One of three is stopped, and its log rots below what it has acknowledged. While another is gone as well, there is no
// majority: it might vote for somebody who lacks what it has forgotten. When that one is back, it is healed and counts.
test('a log that rots in the middle costs the vote until all of it was fetched again, and nothing that was acknowledged',
  withMesh('consensus-rot', async mesh => {
    const nodes = await mesh.cluster(3);
    await voters(nodes[0], 3);
    // Whoever leads may just have been killed: the same again, until there is somebody.
    const put = (node, key, value) => waitFor(`${key} is put`, async () => (await ask(node, 'PUT', `/v1/state/${key}`, {value})).status === 200, {quiet: true});
    // A read may be refused for a while; but whoever answers has all that was acknowledged.
    const reads = async (node, key, value) => {
      const said = await waitFor(`${node.name} reads ${key}`, async () => {
        const answer = await ask(node, 'GET', `/v1/state/${key}`);
        return answer.status > 0 && answer.status < 500 && answer;
      });
      assert.equal(said.body.value, value, `${node.name}: ${key}`);
    };
    for (let i = 0; i < 40; i++) await put(nodes[i % 3], `rot-${i}`, `value-${i}-of-all`);
    const restart = async i => { nodes[i] = await mesh.start(nodes[i].name, {...nodes[i].options, join: nodes[0].mesh}); };
    await mesh.kill(nodes[2]);
    await put(nodes[0], 'after', 'the victim missed this');
    const [place] = places(nodes[2], 'value-7-of-all');
    assert.ok(place, 'it is in the log');
    flip(place);
    await mesh.kill(nodes[1]);
    await waitFor('nobody leads any more', async () => (await status(nodes[0])).quorum === false);
    await restart(2);
    const victim = nodes[2];
    await waitFor('the log says what is wrong, and what to do', () => /consensus\.damaged.*no vote until refetched.*meshctl consensus status/.test(victim.log));
    const refused = await ask(nodes[0], 'PUT', '/v1/state/minority?timeout_ms=1500', {value: 'x'});
    assert.equal(refused.status, 504, 'one vote of three is no majority: the rotten log has none');
    assert.doesNotMatch(victim.log, /consensus\.healed/);
    await waitFor('n1 says so, too', async () =>
      /^no quorum: weight 1 of 3 has lost its log.*: n3; missing: n2, start these nodes.*consensus recover --plan/.test((await status(nodes[0])).diagnosis));
    await restart(1);
    await waitFor('it is healed', () => /consensus\.healed/.test(victim.log));
    await voters(victim, 3);
    for (const node of nodes) for (let i = 0; i < 40; i += 13) await reads(node, `rot-${i}`, `value-${i}-of-all`);
    await reads(victim, 'after', 'the victim missed this');
    // It counts again: with it and one other there is a majority.
    await mesh.kill(nodes[1]);
    await waitFor('a majority with the healed one', async () => (await ask(victim, 'PUT', '/v1/state/whole?timeout_ms=3000', {value: '1'})).status === 200);
    await restart(1);
    await waitFor('all replicas are equal', async () => (await ctl(victim, 'consensus', 'verify')).code === 0);
  }));

test('a minority refuses with exit code 7, and says who is missing', withMesh('consensus-minority', async mesh => {
  const nodes = await mesh.cluster(3);
  await voters(nodes[0], 3);
  assert.equal((await ctl(nodes[1], 'state', 'put', 'a', '1', '--level', 'strong')).code, 0);
  await bundles(nodes[1]);
  await mesh.kill(nodes[0]);
  await mesh.kill(nodes[2]);
  const put = await ctl(nodes[1], 'state', 'put', 'a', '2', '--timeout', '4s');
  assert.equal(put.code, 7, put.stderr);
  assert.match(put.stderr, /no majority|may have happened/);
  assert.equal((await ctl(nodes[1], 'state', 'get', 'a', '--timeout', '4s')).code, 7);
  const {status, body} = await ask(nodes[1], 'POST', '/v1/state?timeout_ms=1000', {requests: [{op: 'put', key: 'a', value: '3'}, {op: 'get', key: 'a'}]});
  assert.equal(status, 200);
  for (const item of body.items) assert.match(item.error.code, /^(no_quorum|unknown)$/);
  await waitFor('the others count as missing', async () => {
    const said = await ctl(nodes[1], 'consensus', 'status');
    return said.code === 7 && /no quorum: weight 1 of 3 is here; missing: .*n1.*/.test(said.stdout);
  });
  const told = (await ask(nodes[1], 'GET', '/v1/consensus')).body;
  assert.equal(told.leader, null);
  assert.ok(told.items.every(row => row.role !== 'leader'), 'nobody leads who does not answer');
  // Monitors and whoever looks at the one screen hear of it, too.
  const checked = await ctl(nodes[1], 'check', 'consensus');
  assert.equal(checked.code, 2, checked.stdout);
  assert.match(checked.stdout, /^CONSENSUS CRITICAL - no quorum: weight 1 of 3 is here/);
  await waitFor('the one screen says so', async () =>
    /critical the mesh can agree on nothing: weight 1 of 3 of the voters is here; gone: (n1, n3|n3, n1)\n/.test((await ctl(nodes[1], 'status')).stdout));
  assert.equal((await ctl(nodes[1], 'check', 'mesh')).code, 2);
}));
