// A mesh of real processes: joining, refusals, kill -9, freezing, leaving, restart, lost disk.
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import {rmSync, readFileSync, existsSync, copyFileSync, mkdirSync, chmodSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {randomBytes} from 'node:crypto';
import {withMesh, waitFor, ctl, ctlJson, modern, run, bin, sleep, nodejs, everything} from './lib/mesh.mjs';

const echo = {everything: {command: nodejs, args: [everything, 'stdio']}};
// What servers offer; the mesh has tools of its own besides.
const tools = async node => (await modern(node, 'tools/list')).message.result.tools.filter(({name}) => !/^mesh_/.test(name));
const alive = async node => (await ctlJson(node, 'nodes')).items.filter(n => n.status === 'alive').map(n => n.name).sort();
const status = async (node, name) => (await ctlJson(node, 'nodes')).items.find(n => n.name === name)?.status;

test('three nodes form a mesh and each lists and calls the tools of all', withMesh('three', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3, {n2: echo});
  const lists = [];
  for (const node of [n1, n2, n3]) {
    await waitFor(`${node.name} lists everything__echo`, async () => (await tools(node)).some(t => t.name === 'everything__echo'));
  }
  await waitFor('all list the same bytes', async () => {
    lists.length = 0;
    for (const node of [n1, n2, n3]) lists.push((await modern(node, 'tools/list')).text);
    return new Set(lists).size === 1;
  });
  for (const node of [n1, n2, n3]) {
    const {message} = await modern(node, 'tools/call', {name: 'everything__echo', arguments: {message: `from ${node.name}`}});
    assert.match(message.result.content[0].text, new RegExp(`from ${node.name}`));
  }
  assert.deepEqual(await alive(n3), ['n1', 'n2', 'n3']);
}));

test('a token that is wrong, tampered, used up, withdrawn or of another mesh is refused with its code and 77', withMesh('tokens', async mesh => {
  const n1 = await mesh.found('n1');
  const other = await mesh.found('other');
  const created = await ctlJson(n1, 'token', 'create', '--uses', '1');
  // Both ends say why.
  const refusal = async (name, token, code, hears = n1) => {
    const node = await mesh.start(name, {join: n1.mesh, token, noWait: true});
    await waitFor(`${name} ends`, () => node.exit);
    assert.equal(node.exit.code, 77, `${name}: ${JSON.stringify(node.exit)} ${node.log}`);
    assert.match(node.log, code);
    if (hears) await waitFor(`${hears.name} says why`, () => new RegExp(`event=join.denied .*${code.source}`).test(hears.log));
  };
  const good = await mesh.start('n2', {join: n1.mesh, token: created.token});
  await mesh.ready(good, 2);
  await refusal('used', created.token, /token_used/);
  const withdrawn = await ctlJson(n1, 'token', 'create', '--uses', '5');
  assert.equal((await ctl(n1, 'token', 'revoke', withdrawn.id)).code, 0);
  await refusal('withdrawn', withdrawn.token, /token_withdrawn/);
  await refusal('foreign', other.token, /mesh_mismatch/, null); // it never asks: the mesh is not the token's
  const flipped = created.token.slice(0, 20) + (created.token[20] === 'a' ? 'b' : 'a') + created.token.slice(21);
  const node = await mesh.start('flipped', {join: n1.mesh, token: flipped, noWait: true});
  await waitFor('flipped ends', () => node.exit);
  assert.ok([2, 77, 78].includes(node.exit.code), `flipped: ${JSON.stringify(node.exit)} ${node.log}`);
  const expired = await ctlJson(n1, 'token', 'create', '--ttl', '1s');
  await sleep(1500);
  await refusal('expired', expired.token, /token_expired/);
  assert.deepEqual(await alive(n1), ['n1', 'n2']);
}));

test('a second node with a live identity is refused, and the first keeps serving', withMesh('clone', async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: echo});
  const copy = join(mesh.dir, 'copy');
  mkdirSync(copy, {mode: 0o700});
  copyFileSync(join(n2.data, 'identity.key'), join(copy, 'identity.key'));
  chmodSync(join(copy, 'identity.key'), 0o600);
  const token = await ctlJson(n1, 'token', 'create');
  const clone = await mesh.start('n2b', {data: copy, join: n1.mesh, token: token.token, noWait: true});
  await waitFor('the clone ends', () => clone.exit);
  assert.equal(clone.exit.code, 77, clone.log);
  assert.match(clone.log, /identity_in_use/);
  await waitFor('n1 says why', () => /event=join.denied .*identity_in_use/.test(n1.log));
  assert.equal(n2.exit, null);
  assert.deepEqual(await alive(n1), ['n1', 'n2']);
}));

test('garbage on the mesh port costs a counter and nothing else', withMesh('garbage', async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: echo});
  await waitFor('n1 lists everything__echo', async () => (await tools(n1)).some(t => t.name === 'everything__echo'));
  const [host, port] = n1.mesh.split(':');
  const blobs = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]), randomBytes(4096),
    Buffer.from('MESH\x01\x01\x00\x00'), Buffer.concat([Buffer.from('MESH\x01\x01\x00\x00'), randomBytes(2000)])];
  for (const blob of blobs)
    await new Promise(done => {
      const socket = net.connect(Number(port), host, () => socket.write(blob, () => setTimeout(() => socket.destroy(), 500)));
      socket.on('error', done);
      socket.on('close', done);
    });
  await waitFor('garbage is counted', async () => (await ctlJson(n1, 'status')).net.garbage >= 3);
  const {message} = await modern(n1, 'tools/call', {name: 'everything__echo', arguments: {message: 'still'}});
  assert.match(message.result.content[0].text, /still/);
}));

test('a thousand silent connections keep neither members nor a joiner out', withMesh('flood', async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: echo});
  const [host, port] = n1.mesh.split(':');
  const sockets = new Set();
  let isOver = false;
  const knock = () => {
    const socket = net.connect(Number(port), host);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => { sockets.delete(socket); if (!isOver) setTimeout(knock, 100 + 900 * Math.random()); });
  };
  try {
    for (let i = 0; i < 1000; i++) knock();
    await waitFor('the flood is noticed', async () => (await ctlJson(n1, 'status')).net.refused > 100);
    const token = await ctlJson(n1, 'token', 'create');
    const begin = performance.now();
    const n3 = await mesh.start('n3', {join: n1.mesh, token: token.token});
    await waitFor('n3 is a member', async () => (await alive(n1)).includes('n3'));
    console.log(`# from exec to member in the flood: ${Math.round(performance.now() - begin)} ms`);
    await mesh.ready(n3, 3);
    await waitFor('n1 calls a tool of n2', async () =>
      (await modern(n1, 'tools/call', {name: 'everything__echo', arguments: {message: 'meanwhile'}})).message.result);
    mesh.kill(n2);
    await n2.exited;
    const again = await mesh.start('n2', {data: n2.data, listen: n2.mesh, servers: echo});
    await mesh.ready(again, 3);
  } finally {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  }
}));

test('kill -9: no new call goes to the dead node, its tools leave every list and return with it', withMesh('kill', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3, {n3: echo});
  await waitFor('n1 lists everything__echo', async () => (await tools(n1)).some(t => t.name === 'everything__echo'));
  mesh.kill(n3);
  await n3.exited;
  await waitFor('a call through n1 is refused as not executed', async () => {
    const {message} = await modern(n1, 'tools/call', {name: 'everything__echo', arguments: {message: 'x'}});
    return ['unavailable', 'not_found'].includes(message.error?.data?.reason);
  });
  await waitFor('its tools left the lists of n1 and n2', async () =>
    (await tools(n1)).length === 0 && (await tools(n2)).length === 0, {limit: 60_000});
  const again = await mesh.start('n3', {data: n3.data, servers: echo, listen: n3.mesh});
  await mesh.ready(again, 3);
  for (const node of [n1, n2])
    await waitFor(`the tools are back at ${node.name}`, async () => (await tools(node)).some(t => t.name === 'everything__echo'));
}));

test('a frozen node is routed around and welcomed back', withMesh('freeze', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3, {n3: echo});
  await waitFor('n1 lists everything__echo', async () => (await tools(n1)).some(t => t.name === 'everything__echo'));
  process.kill(n3.pid, 'SIGSTOP');
  await waitFor('n1 suspects n3', async () => await status(n1, 'n3') !== 'alive');
  await waitFor('n3 is dead for n1 and n2', async () => await status(n1, 'n3') === 'dead' && await status(n2, 'n3') === 'dead', {limit: 60_000});
  await waitFor('its tools left the list', async () => (await tools(n1)).length === 0);
  process.kill(n3.pid, 'SIGCONT');
  await waitFor('n3 is alive again for all', async () => {
    for (const node of [n1, n2, n3]) if ((await alive(node)).length !== 3) return false;
    return true;
  }, {limit: 90_000});
  await waitFor('its tools are back', async () => (await tools(n1)).some(t => t.name === 'everything__echo'));
}));

// Two replicas, at n2 and n3, and a client of n1 that never pauses: what became of each call, by when it began.
async function whileCalling(mesh, body) {
  const pair = {pair: {command: join(bin, 'mcp-tool-stdio'), replica: true}};
  const [n1, n2, n3] = await mesh.cluster(3, {n2: pair, n3: pair});
  const call = () => modern(n1, 'tools/call', {name: 'pair__counter', arguments: {}});
  await waitFor('n1 knows both', async () => (await ctlJson(n1, 'route', 'explain', 'pair__counter')).items.length === 2);
  const calls = [];
  let isOver = false;
  const client = (async () => {
    while (!isOver) {
      const entry = {begin: performance.now()};
      calls.push(entry);
      entry.end = call().then(({message}) => {
        entry.over = performance.now();
        entry.reason = message.result ? 'ok' : message.error.data?.reason;
      });
      await sleep(20);
    }
    for (const entry of calls) await entry.end;
  })();
  await waitFor('n3 got its share', async () => (await ctlJson(n3, 'servers')).items[0].calls >= 10);
  const faulty = performance.now();
  const noticed = await body(n1, n2, n3);
  await sleep(2000);
  await waitFor('some began after it was noticed', () => calls.filter(entry => entry.begin > noticed).length > 10);
  isOver = true;
  await client;
  const last = Math.max(0, ...calls.filter(entry => entry.reason !== 'ok').map(entry => entry.begin - faulty));
  console.log(`# ${calls.length} calls; noticed after ${Math.round(noticed - faulty)} ms; the last that was lost began after ${Math.round(last)} ms`);
  for (const {begin, over, reason} of calls) { // what was under way at the fault may be lost
    if (over < faulty || begin > noticed) assert.equal(reason, 'ok', `${Math.round(begin - faulty)} ms after the fault`);
    else assert.match(reason, /^(ok|outcome_unknown)$/);
  }
  return [n1, n2, n3];
}

test('kill -9 under load: no call that begins after the reset is lost', withMesh('kill-load', mesh =>
  whileCalling(mesh, async (n1, n2, n3) => {
    mesh.kill(n3);
    await waitFor('n1 lost the link', async () => !(await ctlJson(n1, 'nodes', 'show', 'n3')).link);
    return performance.now();
  })));

test('a freeze under load: no call that begins after the suspicion is lost', withMesh('freeze-load', mesh =>
  whileCalling(mesh, async (n1, n2, n3) => {
    process.kill(n3.pid, 'SIGSTOP');
    await waitFor('n1 suspects n3', async () => await status(n1, 'n3') !== 'alive');
    const noticed = performance.now();
    await waitFor('n3 is dead', async () => await status(n1, 'n3') === 'dead', {limit: 90_000});
    return noticed;
  })));

test('a graceful stop leaves the mesh at once, with exit code 0', withMesh('leave', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3);
  process.kill(n3.pid, 'SIGTERM');
  const exit = await n3.exited;
  assert.deepEqual(exit, {code: 0, signal: null}, n3.log);
  await waitFor('n1 and n2 know that n3 left', async () => await status(n1, 'n3') === 'left' && await status(n2, 'n3') === 'left');
}));

test('all nodes restart from their disks without seeds or tokens', withMesh('restart', async mesh => {
  const nodes = await mesh.cluster(3, {n2: echo});
  for (const node of nodes) mesh.kill(node);
  for (const node of nodes) await node.exited;
  const again = [];
  for (const node of nodes)
    again.push(await mesh.start(node.name, {data: node.data, listen: node.mesh, servers: node.name === 'n2' ? echo : undefined}));
  for (const node of again) await mesh.ready(node, 3);
  await waitFor('the tools are listed again', async () => (await tools(again[2])).some(t => t.name === 'everything__echo'));
}));

test('a node that lost its disk but not its key is a member again', withMesh('lost-disk', async mesh => {
  const [n1, n2] = await mesh.cluster(2);
  mesh.kill(n2);
  await n2.exited;
  const key = readFileSync(join(n2.data, 'identity.key'));
  rmSync(n2.data, {recursive: true});
  mkdirSync(n2.data, {mode: 0o700});
  writeFileSync(join(n2.data, 'identity.key'), key, {mode: 0o600});
  const again = await mesh.start('n2', {data: n2.data, join: n1.mesh});
  await mesh.ready(again, 2);
  await waitFor('n1 knows that it began anew', async () => (await ctlJson(n1, 'nodes')).items.find(n => n.name === 'n2').incarnation > 1);
}));

test('identity.key that others may read: exit 77', withMesh('mode', async mesh => {
  const n1 = await mesh.found('n1');
  mesh.kill(n1);
  await n1.exited;
  chmodSync(join(n1.data, 'identity.key'), 0o644);
  const again = await mesh.start('n1', {data: n1.data, noWait: true});
  assert.equal((await again.exited).code, 77, again.log);
}));

test('--dev: loopback only, admits by itself, refuses to mix with a real mesh', withMesh('dev', async mesh => {
  const n1 = await mesh.found('d1', {dev: true});
  const n2 = await mesh.start('d2', {dev: true, join: n1.mesh});
  await mesh.ready(n2, 2);
  const real = await mesh.found('real');
  const mixed = await mesh.start('mixed', {dev: true, join: real.mesh, noWait: true});
  await waitFor('it ends', () => mixed.exit);
  assert.equal(mixed.exit.code, 77, mixed.log);
  const wide = await run(join(bin, 'meshnode'), ['--dev', '--data', join(mesh.dir, 'wide'), '--listen', '0.0.0.0:0']);
  assert.equal(wide.code, 78, wide.stderr);
}));

test('exit codes and messages of bad command lines and configuration', withMesh('usage', async mesh => {
  const meshnode = (...args) => run(join(bin, 'meshnode'), args);
  const unknown = await meshnode('--frobnicate');
  assert.equal(unknown.code, 2, unknown.stderr);
  writeFileSync(join(mesh.dir, 'bad.yaml'), 'mesh:\n  lissten: "0.0.0.0:7000"\n');
  const bad = await meshnode('--config', join(mesh.dir, 'bad.yaml'), '--data', join(mesh.dir, 'x'));
  assert.equal(bad.code, 78, bad.stderr);
  assert.match(bad.stderr, /bad\.yaml/);
  assert.match(bad.stderr, /lissten/);
  assert.match(bad.stderr, /listen/);
  const n1 = await mesh.found('n1');
  const held = await meshnode('--data', join(mesh.dir, 'held'), '--listen', n1.mesh, '--http', '127.0.0.1:0');
  assert.equal(held.code, 69, held.stderr);
  const locked = await meshnode('--data', n1.data, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0');
  assert.equal(locked.code, 69, locked.stderr);
  assert.ok(existsSync(join(n1.data, 'run.json')));
}));
