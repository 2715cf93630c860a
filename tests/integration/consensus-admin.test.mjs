// What an admin sees of consensus and does to it, on one mesh of three real nodes.
import test, {before, after} from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {spawn, spawnSync} from 'node:child_process';
import {Mesh, waitFor, waitEqual, ctl, ctlJson, modern, bin, plainEnv} from './lib/mesh.mjs';

const mesh = new Mesh('consensus-admin');
let nodes;

const rows = async (what = 'weights', node = nodes[0]) => {
  const said = await ctlJson(node, 'consensus', what);
  return Object.fromEntries(said.items.map(row => [row.node, row]));
};

before(async () => {
  nodes = [await mesh.found('n1')];
  for (const [name, args] of [['n2', ['--weight', '2', '--region', 'r2']], ['n3', []]])
    nodes.push(await mesh.start(name, {join: nodes[0].mesh, token: nodes[0].token, args}));
  for (const node of nodes) await mesh.ready(node, 3);
  await waitFor('three vote', async () => {
    const said = await ctlJson(nodes[0], 'consensus', 'status').catch(() => null);
    return said?.items.filter(row => row.weight > 0).length === 3;
  });
});
after(() => mesh.stop());

test('weights: what the node says, what an operator wants, and never half', async () => {
  // 2 of 4 would be half, which nobody may have.
  await waitEqual('what n2 says is known', async () => { const {n2} = await rows(); return [n2.said_weight, n2.weight]; }, [2, 1]);
  const refused = await ctl(nodes[1], 'consensus', 'weights', 'set', 'n1', '2');
  assert.equal(refused.code, 6, refused.stderr);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'set', 'n2', '5')).code, 6);
  for (const name of ['n1', 'n3']) assert.equal((await ctl(nodes[1], 'consensus', 'weights', 'set', name, '1')).code, 0);
  await waitEqual('n3 knows of the wish', async () => (await rows('weights', nodes[2])).n3.wanted_weight, 1);
  const table = await ctl(nodes[1], 'consensus', 'weights');
  assert.equal(table.code, 0, table.stderr);
  assert.match(table.stdout, /NODE +ROLE +WEIGHT +SHARE-% +WANTED +SAYS +ADVISED +ACK[\s\S]*advisor: off/);
});

test('the advisor is switched on and off', async () => {
  assert.equal((await ctl(nodes[1], 'consensus', 'weights', 'auto', 'on')).code, 0);
  await waitEqual('n3 knows that it is on', async () => (await ctlJson(nodes[2], 'consensus', 'weights')).advisor, true);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'auto', 'perhaps')).code, 2);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'auto', 'off')).code, 0);
  await waitEqual('n1 knows that it is off', async () => (await ctlJson(nodes[0], 'consensus', 'weights')).advisor, false);
});

test('voters: who is, who shall be', async () => {
  await waitEqual('its region is known', async () => (await rows('voters')).n2.region, 'r2');
  assert.equal((await ctl(nodes[0], 'consensus', 'voters', 'add', 'n2')).code, 0);
  await waitEqual('n3 knows of the wish', async () => (await rows('voters', nodes[2])).n2.wanted_role, 'voter');
  assert.equal((await ctl(nodes[1], 'consensus', 'voters', 'auto', 'n2')).code, 0);
  await waitEqual('and of none', async () => (await rows('voters', nodes[2])).n2.wanted_role, null);
  assert.equal((await ctl(nodes[1], 'consensus', 'voters', 'add', 'nobody')).code, 5);
  const {id} = (await rows('voters')).n2; // the beginning of an id will do
  assert.equal((await ctl(nodes[1], 'consensus', 'voters', 'auto', id.slice(0, 8))).code, 0);
  for (const row of Object.values(await rows('status'))) assert.match(row.version, /^\d+\.\d+\.\d+/, row.node);
});

test('leadership is handed over', async () => {
  const leader = async () => Object.values(await rows('voters')).find(row => row.role === 'leader')?.node;
  const next = (await leader()) === 'n3' ? 'n2' : 'n3';
  assert.equal((await ctl(nodes[0], 'consensus', 'transfer', next)).code, 0);
  await waitFor(`${next} leads`, async () => (await leader()) === next);
  assert.equal((await ctl(nodes[0], 'consensus', 'transfer', next)).code, 0, 'who leads already need not be asked');
  await waitFor('the status names it', async () => (await ctlJson(nodes[1], 'status')).leader?.name === next);
  await waitFor('all is well', async () => (await ctl(nodes[0], 'check', 'consensus')).code === 0);
});

// A program that prints lines for as long as it runs; stop() ends it.
function follow(node, ...args) {
  const child = spawn(join(bin, 'meshctl'), ['--data', node.data, ...args], {stdio: ['ignore', 'pipe', 'pipe'], env: plainEnv});
  const said = {lines: [], errors: ''};
  let rest = '';
  child.stdout.on('data', bytes => {
    const parts = (rest + bytes).split('\n');
    rest = parts.pop();
    said.lines.push(...parts);
  });
  child.stderr.on('data', bytes => { said.errors += bytes; });
  said.done = new Promise(done => child.on('close', code => done(code)));
  said.stop = () => { child.kill('SIGTERM'); return said.done; };
  return said;
}

const put = async (node, ...args) => {
  const done = await ctl(node, 'state', 'put', ...args);
  assert.equal(done.code, 0, done.stderr);
};

test('changes are watched at one node, and from there at another', async () => {
  await put(nodes[0], 'w/before', '1');
  const {rev} = await ctlJson(nodes[0], 'state', 'ls', 'w/');
  const first = follow(nodes[1], 'state', 'watch', 'w/', '--from', String(rev));
  await put(nodes[0], 'w/a', '1');
  await put(nodes[2], 'x/a', 'not watched');
  await put(nodes[2], 'w/b', 'two words');
  assert.equal((await ctl(nodes[1], 'state', 'rm', 'w/a')).code, 0);
  await waitFor('three changes', () => first.lines.length === 3);
  const [at] = first.lines[0].split(' ');
  assert.deepEqual(first.lines.map(line => line.replace(/^\S+ /, '')), ['put w/a 1', 'put w/b two words', 'rm w/a']);
  await first.stop();
  const second = follow(nodes[2], '--json', 'state', 'watch', 'w/', '--from', at);
  await waitFor('the other two', () => second.lines.length === 2);
  assert.deepEqual(second.lines.map(line => JSON.parse(line)).map(({key, value, removed}) => [key, value, removed]),
    [['w/b', 'two words', false], ['w/a', null, true]]);
  await second.stop();
  assert.equal((await ctl(nodes[0], 'state', 'watch', '--from', 'x')).code, 2);
});

test('a lease holds a lock: its fencing token rises, and its end is seen', async () => {
  const lease = (await ctl(nodes[0], 'state', 'lease', 'grant', '5s')).stdout.trim();
  assert.match(lease, /^\d+$/);
  const alive = follow(nodes[1], 'state', 'lease', 'keepalive', lease);
  await put(nodes[0], 'lock', 'me', '--if-rev', '0', '--lease', lease);
  const token = (await ctlJson(nodes[2], 'state', 'get', 'lock')).created;
  const watch = follow(nodes[2], 'state', 'watch', 'lock', '--from', String(token));
  await waitFor('it was renewed past its time', () => alive.lines.length >= 4);
  assert.equal((await ctl(nodes[2], 'state', 'put', 'lock', 'other', '--if-rev', '0')).code, 6);
  await alive.stop();
  await waitFor('the lock is free', () => watch.lines.some(line => /rm lock/.test(line)));
  await watch.stop();
  assert.equal((await ctl(nodes[1], 'state', 'lease', 'keepalive', lease)).code, 5);
  const next = (await ctlJson(nodes[1], '--json', 'state', 'lease', 'grant', '1m')).lease;
  await put(nodes[1], 'lock', 'other', '--if-rev', '0', '--lease', String(next));
  for (const node of nodes) {
    const row = (await ctlJson(node, '--json', 'state', 'lease', 'ls')).items.find((item) => item.lease === next);
    assert.equal(row.keys, 1, 'whatever node is asked');
    assert.ok(row.left_ms > 0 && row.left_ms <= 60000, `${row.left_ms} ms are left of a minute`);
  }
  assert.ok((await ctlJson(nodes[0], 'state', 'get', 'lock')).created > token);
  assert.equal((await ctl(nodes[0], 'state', 'lease', 'revoke', String(next))).code, 0);
  assert.deepEqual((await ctlJson(nodes[1], '--json', 'state', 'lease', 'ls')).items, []);
  assert.equal((await ctl(nodes[0], 'state', 'get', 'lock')).code, 5);
});

test('what cannot be done says what it is about', async () => {
  await put(nodes[0], 'word', 'no number');
  for (const [code, says, ...args] of [
    [2, /no number that can be added to[^]*state get KEY/, 'incr', 'word'],
    [5, /no such key[^]*state ls/, 'rm', 'nothing'],
    [5, /no such lease[^]*state lease ls/, 'lease', 'revoke', '999999'],
    [5, /no such lease[^]*state lease ls/, 'lease', 'keepalive', '999999'],
    [5, /no such lease[^]*state lease ls/, 'put', 'word', 'x', '--lease', '999999'],
    [2, /meshctl state put KEY VALUE/, 'put', '', 'x']]) {
    const said = await ctl(nodes[1], 'state', ...args);
    assert.equal(said.code, code, args.join(' ') + said.stderr);
    assert.match(said.stderr, says, args.join(' '));
  }
  assert.equal((await ctl(nodes[2], 'state', 'incr', 'count', '-5')).stdout, '-5\n');
  const stdin = input => spawnSync(join(bin, 'meshctl'), ['--data', nodes[0].data, 'state', 'put', 'large', '-'], {input, env: plainEnv, encoding: 'utf8'});
  const large = 'ä'.repeat(100_000); // more than a command line takes in one argument
  assert.equal(stdin(large).status, 0);
  assert.equal((await ctl(nodes[1], 'state', 'get', 'large')).stdout, `${large}\n`);
  const binary = stdin(Buffer.from([0x61, 0xff]));
  assert.equal(binary.status, 2);
  assert.match(binary.stderr, /no UTF-8 text/);
  const huge = stdin('x'.repeat(300_000));
  assert.equal(huge.status, 2, huge.stderr);
  assert.match(huge.stderr, /256 KiB/);
  assert.equal((await ctl(nodes[2], 'state', 'incr', 'count', '--', '7')).stdout, '2\n');
});

test('keys are listed by prefix, a page at a time', async () => {
  for (const key of ['p/1', 'p/2', 'p/3']) await put(nodes[0], key, key);
  const first = await ctlJson(nodes[1], 'state', 'ls', 'p/', '--limit', '2');
  assert.deepEqual([first.items.map(pair => pair.key), first.next], [['p/1', 'p/2'], 'p/2']);
  const second = await ctlJson(nodes[2], 'state', 'ls', 'p/', '--limit', '2', '--after', first.next);
  assert.deepEqual([second.items.map(pair => pair.key), second.next], [['p/3'], null]);
});

test('agents list pages, wait for changes, and are refused what changes something', async () => {
  const call = async (name, args) => (await modern(nodes[1], 'tools/call', {name, arguments: args})).message.result;
  const page = (await call('mesh_state_list', {prefix: 'p/', limit: 2, after: 'p/1'})).structuredContent;
  assert.deepEqual(page.items.map(pair => pair.key), ['p/2', 'p/3']);
  const waiting = call('mesh_state_watch', {prefix: 'p/', from: String(page.rev), timeout_ms: 20000});
  await put(nodes[0], 'p/2', 'new');
  const {items, next} = (await waiting).structuredContent;
  assert.deepEqual(items.map(({key, value}) => [key, value]), [['p/2', 'new']]);
  const quiet = (await call('mesh_state_watch', {prefix: 'p/', from: next, timeout_ms: 10})).structuredContent;
  assert.deepEqual(quiet.items, []);
  assert.equal((await call('mesh_lease_grant', {ttl_ms: 5000})).isError, true);
});

test('replicas are compared', async () => {
  await waitEqual('all have all', async () => { // the last write may be on its way to one
    const {equal, items} = await ctlJson(nodes[1], 'consensus', 'verify');
    return [equal, ...items.map(item => item.replica)];
  }, [true, 'equal', 'equal', 'equal']);
});

test('a group with a quorum is not begun anew', async () => {
  const plan = await ctlJson(nodes[1], 'consensus', 'recover');
  assert.deepEqual([plan.verdict, plan.plan], ['not_needed', null]);
  assert.equal((await ctl(nodes[0], 'consensus', 'recover', '--apply', '0123456789abcdef')).code, 2); // no --yes
  assert.equal((await ctl(nodes[0], 'consensus', 'recover', '--apply', '0123456789abcdef', '--yes')).code, 6);
});

// The last one: it takes the mesh apart. A voter is given up when it was dead for 30 s.
test('two of three are lost for good: the third begins anew, and who comes back joins it', async () => {
  await put(nodes[0], 'kept', 'yes');
  await waitFor('all have it', async () => (await ctlJson(nodes[0], 'consensus', 'verify')).items.every(item => item.replica === 'equal'));
  await mesh.kill(nodes[1]);
  await mesh.kill(nodes[2]);
  await waitFor('they count as missing', async () => /no quorum.*consensus recover/.test((await ctl(nodes[0], 'consensus', 'status')).stdout));
  assert.equal((await ctlJson(nodes[0], 'consensus', 'recover')).verdict, 'too_soon');
  assert.equal((await ctl(nodes[0], 'state', 'put', 'b', '1', '--timeout', '2s')).code, 7);
  const plan = await waitFor('they can be given up', async () => {
    const said = await ctlJson(nodes[0], 'consensus', 'recover');
    return said.verdict === 'possible' && said;
  }, {limit: 120_000, every: 1000});
  assert.deepEqual([plan.begins, plan.lossless, plan.lost.sort()], ['n1', false, ['n2', 'n3']]);
  assert.match(plan.message, /n1 begins the group anew.*is lost/);
  const done = await ctl(nodes[0], 'consensus', 'recover', '--apply', plan.plan, '--yes');
  assert.equal(done.code, 0, done.stderr);
  assert.equal((await ctl(nodes[0], 'state', 'get', 'kept')).stdout, 'yes\n');
  await put(nodes[0], 'b', '2');
  for (const index of [1, 2]) nodes[index] = await mesh.start(nodes[index].name, {listen: nodes[index].mesh, http: nodes[index].http});
  await waitFor('three vote again', async () => {
    const said = await ctlJson(nodes[1], 'consensus', 'status').catch(() => null);
    return said?.quorum && said.epoch === 2 && said.items.filter(row => row.weight > 0).length === 3;
  });
  assert.equal((await ctl(nodes[2], 'state', 'get', 'b')).stdout, '2\n');
  await waitFor('all have all', async () => (await ctlJson(nodes[2], 'consensus', 'verify')).equal);
});
