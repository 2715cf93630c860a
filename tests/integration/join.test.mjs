// Ways in that must stay shut, with real processes: tokens that are no good, a race for the last uses, an issuer that is
// killed while it admits, seeds that are somebody else, somebody in between, a founder's copy that lives in the past.
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import {cpSync, rmSync, copyFileSync} from 'node:fs';
import {join} from 'node:path';
import {withMesh, waitFor, waitEqual, ctl, ctlJson, run, bin, sleep} from './lib/mesh.mjs';

const token = async (node, ...more) => ctlJson(node, 'token', 'create', ...more);
const members = async node => (await ctlJson(node, 'nodes')).items.filter(item => item.status === 'alive').map(item => item.name).sort();

// Carries bytes between whoever connects and a node; keeps what it saw, and may bend it.
async function between(mesh, target) {
  const state = {seen: [], said: [], bends: false}; // said: by whoever dials, a list for each connection
  const [host, port] = target.split(':');
  const server = net.createServer(client => {
    const other = net.connect(port, host);
    const said = [];
    state.said.push(said);
    client.on('data', bytes => said.push(Buffer.from(bytes)));
    const pass = (from, to) => {
      let count = 0;
      from.on('data', bytes => {
        state.seen.push(Buffer.from(bytes));
        // Not the clear preamble, which any byte would break: something of the handshake or after it.
        if (state.bends && (count += bytes.length) > 64) bytes[bytes.length - 1] ^= 1;
        to.write(bytes);
      });
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    };
    pass(client, other);
    pass(other, client);
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  mesh.processes.push({kill: () => server.close()});
  state.address = `127.0.0.1:${server.address().port}`;
  return state;
}

// The bytes behind "mnt1-": type 1, pin 16, secret 16, check 4.
function secretOf(text) {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const bytes = [];
  let bits = 0, value = 0;
  for (const char of text.slice(5)) {
    value = (value << 5) | alphabet.indexOf(char);
    bits += 5;
    if (bits >= 8) { bits -= 8; bytes.push((value >> bits) & 255); value &= (1 << bits) - 1; }
  }
  return Buffer.from(bytes.slice(17, 33));
}

test('tokens that let nobody in, each for its own reason; and the last uses go to as many as there are', withMesh('tokens', async mesh => {
  const n1 = await mesh.found('n1'), other = await mesh.found('other');
  const n2 = await mesh.start('n2', {join: n1.mesh, token: n1.token}), n3 = await mesh.start('n3', {join: n1.mesh, token: n1.token});
  for (const node of [n1, n2, n3]) await mesh.ready(node, 3);
  const short = await token(n1, '--ttl', '1s'), gone = await token(n1), edge = await token(n1, '--role', 'edge'), once = await token(n1);
  assert.equal((await ctl(n1, 'token', 'revoke', gone.id)).code, 0);
  const first = await mesh.start('first', {join: n2.mesh, token: once.token});
  await mesh.ready(first, 4);
  const offline = (await run(join(bin, 'meshnode'), ['token', 'new'])).stdout.trim();
  await sleep(1500);
  const bad = {
    expired: [short.token, 'token_expired'], withdrawn: [gone.token, 'token_withdrawn'], used: [once.token, 'token_used'],
    role: [edge.token, 'role_not_allowed', '--role', 'voter'],
  };
  const refused = Object.entries(bad).map(async ([name, [text, code, ...args]], i) => {
    const node = await mesh.start(name, {join: [n1, n2, n3][i % 3].mesh, token: text, args, noWait: true});
    assert.deepEqual(await node.exited, {code: 77, signal: null}, `${name}: ${node.log}`);
    assert.match(node.log, new RegExp(code), name);
  });
  // These go on asking for half a minute, for a seed may be an impostor; none of them gets in.
  for (const [name, text] of [['unregistered', offline], ['foreign', (await token(other)).token]]) {
    const node = await mesh.start(name, {join: n1.mesh, token: text});
    await waitFor(`${name} is not led into another mesh`, () => node.log.includes('not the mesh of the token'));
    assert.equal((await ctlJson(node, 'status')).node.state, 'joining');
    await mesh.kill(node);
  }
  // Meanwhile six race for four places, through three members.
  const four = await token(n1, '--uses', '4');
  const racers = await Promise.all([1, 2, 3, 4, 5, 6].map(i =>
    mesh.start(`r${i}`, {join: [n1, n2, n3][i % 3].mesh, token: four.token, noWait: true})));
  await Promise.all(refused);
  await waitFor('two are refused', () => racers.filter(node => node.exit).length === 2);
  for (const node of racers.filter(racer => racer.exit)) {
    assert.equal(node.exit.code, 77, node.log);
    assert.match(node.log, /token_used/);
  }
  await waitFor('four are in', async () => (await members(n1)).length === 8);
  assert.equal((await ctlJson(n1, 'token', 'ls')).items.find(item => item.id === four.id).used, 4);
}));

test('an issuer that is killed while it admits: one use, and the node is in', withMesh('killed', async mesh => {
  let n1 = await mesh.found('n1');
  const {token: text, id} = await token(n1, '--uses', '3');
  for (let i = 0; i < 3; i++) {
    const joiner = await mesh.start(`j${i}`, {join: n1.mesh, token: text, noWait: true});
    await waitFor('it knocks', () => joiner.log.includes('node.listening') || joiner.exit);
    await sleep(i * 12); // before, while and after it is admitted
    await mesh.kill(n1);
    n1 = await mesh.start('n1', {listen: n1.mesh});
    await waitFor(`j${i} is in`, async () => (await members(n1)).length === i + 2);
  }
  assert.equal((await ctlJson(n1, 'token', 'ls')).items.find(item => item.id === id).used, 3);
}));

test('seeds that are somebody else, and somebody in between', withMesh('seeds', async mesh => {
  const n1 = await mesh.found('n1'), fake = await mesh.found('fake');
  const {token: text} = await token(n1, '--uses', '2');
  const honest = await between(mesh, n1.mesh), bent = await between(mesh, n1.mesh), liar = await between(mesh, fake.mesh);
  bent.bends = true;
  const stuck = await mesh.start('stuck', {join: bent.address, token: text});
  const a = await mesh.start('a', {join: [liar.address, honest.address], token: text});
  await mesh.ready(a, 2);
  assert.deepEqual(await members(a), ['a', 'n1']);
  assert.deepEqual(await members(fake), ['fake']);
  assert.equal((await ctlJson(stuck, 'status')).node.state, 'joining');
  bent.bends = false;
  await waitFor('in, once nobody bends its words', async () => (await members(n1)).join() === 'a,n1,stuck');
  // What was said when `a` joined, its handshake and its JOIN, is worth nothing when it is said again.
  const before = (await ctlJson(n1, 'status')).net;
  const [host, port] = n1.mesh.split(':');
  for (const words of honest.said.filter(list => list.length > 2).slice(0, 5)) {
    const again = net.connect(port, host);
    again.on('error', () => {});
    for (const bytes of words) { again.write(bytes); await sleep(5); }
    await waitFor('the door is shut', () => again.destroyed || again.readableEnded || again.resume() && again.closed);
  }
  const after = (await ctlJson(n1, 'status')).net;
  assert.ok(after.handshakes_failed > before.handshakes_failed, JSON.stringify([before, after]));
  await waitEqual('nobody came by it', () => members(n1), ['a', 'n1', 'stuck']);
  assert.equal((await ctlJson(n1, 'token', 'ls')).items.find(item => item.uses === 2).used, 2);

  const secret = secretOf(text);
  assert.equal(secret.length, 16);
  for (const {seen} of [honest, bent, liar]) {
    const all = Buffer.concat(seen);
    assert.ok(all.length > 100, 'it was in between');
    assert.equal(all.indexOf(secret), -1);
    assert.equal(all.indexOf(text.slice(5)), -1);
  }
}));

test('a copy of the founder that lives in the past leads nobody away', withMesh('past', async mesh => {
  const env = {MESHNODE_AUTHORITY_GROW: 'false'};
  const n1 = await mesh.found('n1', {env}), n2 = await mesh.start('n2', {join: n1.mesh, token: n1.token, env});
  await mesh.ready(n2, 2);
  const root = join(mesh.dir, 'root.key'), copy = join(mesh.dir, 'copy');
  copyFileSync(join(n1.data, 'root.key'), root);
  await mesh.kill(n1);
  await mesh.kill(n2, 'SIGTERM');
  cpSync(n1.data, copy, {recursive: true}); // the founder's key, stolen; there it is the only issuer still
  rmSync(n1.data, {recursive: true, force: true});
  const issuer = await mesh.start('n2', {args: ['--root', root], env}); // at another port: the copy does not find it
  await waitFor('n2 is the issuer', async () => (await ctlJson(issuer, 'status')).node.issuer);
  const thief = await mesh.start('n1', {data: copy, env});
  await waitFor('the copy runs', async () => (await ctlJson(thief, 'status')).node.issuer);
  const created = await token(issuer);
  const node = await mesh.start('n4', {join: [thief.mesh, issuer.mesh], token: created.token});
  await mesh.ready(node, 2);
  const keys = (await ctlJson(node, 'keys', 'ls')).items.filter(item => item.kind === 'issuer');
  assert.deepEqual(keys.filter(item => item.state === 'alive').map(item => item.node), ['n2']);
  assert.equal(keys.filter(item => item.state === 'retired').length, 1);
}));
