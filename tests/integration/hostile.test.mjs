// Servers and clients that get everything wrong: each harms only itself, and says what is the matter.
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import {join} from 'node:path';
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {withMesh, waitFor, ctl, ctlJson, modern, bin, sleep, nodejs} from './lib/mesh.mjs';
import {hostile, kinds, modes} from './lib/hostile.mjs';

const script = fileURLToPath(new URL('./lib/hostile.mjs', import.meta.url));
const good = {good: {command: join(bin, 'mcp-tool-stdio')}};
const listed = async (node, name) => (await modern(node, 'tools/list')).message.result.tools.some(t => t.name === name);
const call = (node, name, args = {}, more = {}) => modern(node, 'tools/call', {name, arguments: args, ...more.params}, more);
const megabytes = node => Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, 'utf8'))[1]) / 1024);

async function assertWell(node, label) {
  const answer = await call(node, 'good__echo', {text: 'well'});
  assert.ok(answer.message.result, `${label}: ${answer.text}`);
  console.log(`# ${label}: ${megabytes(node)} MB`);
}

// Processor time of a node's loop so far, in ms.
const spent = node => Number(readFileSync(`/proc/${node.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;

// The p99 of small calls one after the other, of at least [count], and until it is over: in ms, and in ms of processor time
// that both nodes spend between question and answer.
async function p99([n1, n2], count, isOver = () => true) {
  const times = [], costs = [];
  while (times.length < count || !isOver()) {
    const begin = performance.now(), before = spent(n1) + spent(n2), answer = await call(n1, 'good__echo', {text: 'small'});
    costs.push(spent(n1) + spent(n2) - before);
    times.push(performance.now() - begin);
    assert.ok(answer.message.result, answer.text);
  }
  const at99 = values => values.sort((a, b) => a - b)[Math.floor((values.length - 1) * 0.99)];
  return {ms: at99(times), cpu: at99(costs)};
}

// Whether a link is shared fairly is judged in virtual time (test_link_fair); this is the rest of it: sockets, loops, JSON.
// Where others keep the machine busy, times say little; what the nodes did meanwhile still does.
const RATIO = 2, FLOOR_MS = 150, CPU_FLOOR_MS = 200;
function assertFair(label, alone, beside) {
  const text = `small calls ${label}: p99 ${beside.ms.toFixed(1)} ms, ${beside.cpu.toFixed(1)} ms of processor time; ` +
    `alone ${alone.ms.toFixed(1)} and ${alone.cpu.toFixed(1)}`;
  console.log(`# ${text}`);
  assert.ok(beside.ms <= Math.max(RATIO * alone.ms, FLOOR_MS) || beside.cpu <= CPU_FLOOR_MS, text);
}

test('servers that get everything wrong', withMesh('servers', async mesh => {
  const upstream = await hostile();
  const servers = {...good};
  for (const kind of Object.keys(kinds)) servers[`http-${kind}`] = {url: upstream.url(kind)};
  for (const mode of Object.keys(modes)) servers[`stdio-${mode}`] = {command: nodejs, args: [script, mode]};
  // These are taken away again, which those of a file are not.
  delete servers['http-flapping'];
  delete servers['stdio-stubborn'];
  const [n1, n2] = await mesh.cluster(2, {n2: servers});
  assert.equal((await ctl(n2, 'servers', 'add', 'http-flapping', '--url', upstream.url('flapping'))).code, 0);
  assert.equal((await ctl(n2, 'servers', 'add', 'stdio-stubborn', '--', nodejs, script, 'stubborn')).code, 0);
  const state = async name => (await ctlJson(n2, 'servers')).items.find(s => s.name === name);
  const at = (name, args) => call(n1, 'echo', args, {path: `/mcp/servers/${name}`});
  await waitFor('the good one is listed', () => listed(n1, 'good__echo'));

  const answered = ['http-plain', 'http-odd', 'http-repeating', 'http-endless', 'http-many', 'http-badlist', 'http-flapping',
    'http-equal', 'stdio-exits', 'stdio-stubborn', 'stdio-crlf', 'stdio-garbage', 'stdio-asks'];
  for (const name of answered) {
    await waitFor(`${name} is ready`, async () => (await state(name)).state === 'ready');
    await waitFor(`${name} answers`, async () => (await at(name, {text: name})).message.result);
  }
  assert.equal((await at('http-odd')).message.result.content[0].text, 'ünïcödé 🎉');
  assert.equal((await state('http-many')).tools, 5000);
  assert.equal((await state('http-badlist')).tools, 1);

  // What a call of each says; and meanwhile another server answers.
  const refused = {
    'http-toobig': /more than 32 MiB/, 'http-deep': /more than 128 levels/,
    'http-resetting': /^outcome unknown/, 'http-flooding': /more than 32 MiB/, 'http-liar': /nothing that is MCP/,
    'stdio-endless': /^outcome unknown/, 'stdio-dies': /^outcome unknown/,
  };
  for (const [name, text] of Object.entries(refused)) {
    await waitFor(`${name} is ready`, async () => (await state(name)).state === 'ready');
    await waitFor(`n1 knows ${name}`, async () => (await modern(n1, 'tools/list', {}, {path: `/mcp/servers/${name}`})).message.result);
    const {message} = await at(name);
    assert.match(message.error?.message ?? '', text, `${name}: ${JSON.stringify(message).slice(0, 300)}`);
    await assertWell(n1, name);
  }
  // What is large crosses the link whole, several at a time, and does not hold up what is small.
  const image = await at('http-image');
  assert.equal(image.message.result?.content[0].data.length, 20 << 20, image.text.slice(0, 300));
  let areDone = false;
  const alone = await p99([n1, n2], 300);
  const images = Promise.all([1, 2, 3].map(() => at('http-image'))).finally(() => { areDone = true; });
  const beside = await p99([n1, n2], 100, () => areDone);
  for (const {message, text} of await images) assert.equal(message.result?.content[0].data.length, 20 << 20, text.slice(0, 300));
  assertFair('beside three answers of 20 MiB', alone, beside);
  assert.equal((await ctl(n2, 'servers', 'restart', 'http-many')).code, 0);
  assertFair('beside a list of 5,000 tools', alone, await p99([n1, n2], 300));
  await assertWell(n1, 'after answers of 20 MiB');
  // These are never there, and say why.
  for (const [name, why] of [['http-refusing', /401/], ['http-html', /MCP endpoint/], ['http-toomany', /5000 tools/]])
    await waitFor(`${name} says why`, async () => why.test((await state(name)).error)); // at its next try, too
  for (const name of ['http-silent', 'stdio-mute']) assert.notEqual((await state(name)).state, 'ready');

  // One that never answers holds nobody up, and its call ends with its client.
  const abort = new AbortController();
  const hanging = call(n1, 'echo', {}, {path: '/mcp/servers/http-hanging', signal: abort.signal}).catch(() => 'aborted');
  await waitFor('it is called', async () => (await state('http-hanging')).in_flight === 1);
  await assertWell(n1, 'while a call hangs');
  abort.abort();
  assert.equal(await hanging, 'aborted');
  await waitFor('nothing is in flight', async () => (await state('http-hanging')).in_flight === 0);

  // A list that is announced as changed, and is not, is no change in the mesh.
  assert.equal((await ctl(n2, 'servers', 'rm', 'http-flapping')).code, 0);
  await waitFor('it is gone', async () => !await listed(n1, 'http-flapping__echo'));
  const changes = () => n1.log.split('\n').filter(line => line.includes('catalog.changed')).length;
  await waitFor('those that restart have settled', async () => (await state('stdio-dies')).state === 'ready' && (await state('stdio-endless')).state === 'ready');
  await waitFor('nothing changes any more', async () => { // others may still settle; one of them announces 200 changes a second
    const before = changes();
    await sleep(1500);
    return changes() === before;
  });
  assert.equal((await ctl(n2, 'servers', 'rm', 'stdio-stubborn')).code, 0);
  await waitFor('the stubborn one is gone', async () => !await state('stdio-stubborn'));
  for (const node of [n1, n2]) assert.ok(megabytes(node) < 300, `${megabytes(node)} MB`);
  await upstream.close();
}));

test('a mesh that is attached to itself, in whatever way, says so and lists nothing twice', withMesh('loop', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3, {n2: good});
  const ring = [[n1, n2, 'forth'], [n2, n3, 'on'], [n3, n1, 'back'], [n2, n2, 'self']];
  for (const [at, to, name] of ring) assert.equal((await ctl(at, 'servers', 'add', name, '--url', `http://${to.http}/mcp`)).code, 0);
  assert.equal((await ctl(n3, 'servers', 'add', 'one', '--url', `http://${n1.http}/mcp/servers/good`)).code, 0);
  for (const [at, , name] of [...ring, [n3, n1, 'one']])
    await waitFor(`${name} is refused`, async () => /attached to itself/.test((await ctlJson(at, 'servers')).items.find(s => s.name === name).error));
  for (const node of [n1, n2, n3]) {
    await waitFor(`${node.name} lists the good one`, () => listed(node, 'good__echo'));
    const names = (await modern(node, 'tools/list')).message.result.tools.map(t => t.name);
    assert.ok(names.every(name => /^(good|mesh)_/.test(name)), names.join());
  }
}));

// Their lists would feed each other: x__y__x__...
test('two meshes that are attached to each other: the second is told, also when both come at once', withMesh('circle', async mesh => {
  const [one, other] = [await mesh.found('one', {servers: good}), await mesh.found('other', {servers: {fine: good.good}})];
  const attach = async (at, to, name) => assert.equal((await ctl(at, 'servers', 'add', name, '--url', `http://${to.http}/mcp`)).code, 0);
  const error = async (at, name) => {
    const {error, lists_error} = (await ctlJson(at, 'servers', 'show', name));
    return error + lists_error;
  };
  const names = async node => (await modern(node, 'tools/list')).message.result.tools.map(t => t.name);
  await attach(one, other, 'x');
  await waitFor('one has what the other has', () => listed(one, 'x__fine__echo'));
  await attach(other, one, 'y');
  await waitFor('the other is told', async () => /attached to this one/.test(await error(other, 'y')));
  assert.ok((await names(other)).every(name => !name.startsWith('y__')));
  assert.ok(await listed(one, 'x__fine__echo'));

  await ctl(one, 'servers', 'rm', 'x');
  await waitFor('now the other one may', () => listed(other, 'y__good__echo'));
  await ctl(other, 'servers', 'rm', 'y');
  await waitFor('neither has the other', async () => !(await listed(other, 'y__good__echo')));
  await Promise.all([attach(one, other, 'x'), attach(other, one, 'y')]);
  await waitFor('one of them is told', async () => /attached to this one/.test(await error(one, 'x') + await error(other, 'y')));
  const before = [...await names(one), ...await names(other)];
  assert.ok(before.every(name => !/x__y__x__|y__x__y__/.test(name)), before.join());
}));

test('an HTTP server that goes away and comes back', withMesh('restart', async mesh => {
  let upstream = await hostile();
  const [n1] = await mesh.cluster(2, {n2: {web: {url: upstream.url('plain')}}});
  await waitFor('it is listed', () => listed(n1, 'web__echo'));
  await upstream.close();
  const {message} = await call(n1, 'web__echo');
  assert.ok(message.error, JSON.stringify(message));
  upstream = await hostile(upstream.port);
  await waitFor('it answers again', async () => (await call(n1, 'web__echo')).message.result);
  await upstream.close();
}));

test('replicas: local first, fail over only when safe, the breaker, what route explain says', withMesh('replicas', async mesh => {
  const upstreams = [await hostile(0, {rep: {...kinds.plain, calls: 0}}), await hostile(0, {rep: {...kinds.plain, calls: 0}})];
  const rep = i => ({rep: {url: upstreams[i].url('rep'), replica: true}});
  const [n1, n2, n3] = await mesh.cluster(3, {n1: rep(0), n2: rep(1)});
  const routes = async node => (await ctlJson(node, 'route', 'explain', 'rep__echo')).items;
  const calls = i => upstreams[i].kinds.rep.calls;
  for (const node of [n1, n2, n3]) await waitFor(`${node.name} knows both`, async () => (await routes(node)).length === 2);

  for (let i = 0; i < 10; i++) assert.ok((await call(n1, 'rep__echo')).message.result);
  assert.deepEqual([calls(0), calls(1)], [10, 0]);
  assert.equal((await routes(n1)).find(route => route.winner).node, 'n1');

  // What may be repeated is, elsewhere; then the breaker keeps calls away.
  upstreams[0].kinds.rep.post = kinds.resetting.post;
  for (let i = 0; i < 10; i++) assert.ok((await call(n1, 'rep__echo')).message.result);
  await waitFor('the breaker is open', async () => { // for a while, after which it tries one more
    assert.ok((await call(n1, 'rep__echo')).message.result);
    const all = await routes(n1);
    return all.find(route => route.node === 'n1').reason === 'breaker_open' && all.find(route => route.winner).node === 'n2';
  });
  // What may not be repeated is not.
  await waitFor('n1 is tried again', async () => (await routes(n1)).every(route => route.reason === 'ok'));
  const executed = calls(1), {message} = await call(n1, 'rep__write');
  assert.match(message.error.message, /^outcome unknown: the tool may have run/);
  assert.equal(message.error.data.reason, 'outcome_unknown');
  assert.equal(calls(1), executed);
  upstreams[0].kinds.rep.post = undefined;
  await waitFor('the breaker closes', async () => {
    const before = calls(0);
    assert.ok((await call(n1, 'rep__echo')).message.result);
    return calls(0) > before;
  });
  // One that is gone is no route any more.
  await upstreams[0].close();
  for (let i = 0; i < 10; i++) assert.ok((await call(n3, 'rep__echo')).message.result);
  await upstreams[1].close();
}));

test('the trace context and what we do not know of _meta reach the server', withMesh('meta', async mesh => {
  const upstream = await hostile();
  const [n1] = await mesh.cluster(2, {n2: {web: {url: upstream.url('plain')}}});
  await waitFor('it is listed', () => listed(n1, 'web__echo'));
  const meta = {traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=b', baggage: 'k=v', 'example.org/x': {y: [1.50]}};
  assert.ok((await call(n1, 'web__echo', {}, {params: {_meta: meta}})).message.result);
  assert.deepEqual(upstream.kinds.plain.params._meta, meta);
  await upstream.close();
}));

/* ---- clients ---- */

const meta = {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}};

function request(node, method, params, {id = 1, extra = '', more = {}} = {}) {
  const body = JSON.stringify({jsonrpc: '2.0', id, method, params: {...params, _meta: {...meta, ...more}}});
  return `POST /mcp HTTP/1.1\r\nHost: ${node.http}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n` +
    `MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: ${method}\r\n${params.name ? `Mcp-Name: ${params.name}\r\n` : ''}${extra}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function connect(node) {
  const [host, port] = node.http.split(':');
  const socket = net.connect(Number(port), host);
  socket.got = '';
  socket.on('error', () => {});
  socket.on('data', bytes => { socket.got += bytes; });
  socket.on('close', () => { socket.isClosed = true; });
  return new Promise(done => socket.once('connect', () => done(socket)));
}

const twoNodes = (name, body) => withMesh(name, async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: good});
  await waitFor('n1 lists good__echo', () => listed(n1, 'good__echo'));
  await body(n1, n2);
});

async function sendAll(node, count, text, isReading) {
  const sockets = [];
  for (let i = 0; i < count; i++) {
    const socket = await connect(node);
    if (!isReading) socket.pause();
    socket.write(text(i));
    sockets.push(socket);
  }
  return sockets;
}

test('clients that stop reading', twoNodes('unread', async (n1, n2) => {
  const alone = await p99([n1, n2], 300);
  const finished = async () => (await ctlJson(n1, 'status')).calls.finished, before = await finished();
  const big = await sendAll(n1, 8, () => request(n1, 'tools/call', {name: 'good__big', arguments: {bytes: 14_000_000}}), false);
  await waitFor('all answers are there', async () => await finished() === before + 8);
  await assertWell(n1, 'eight unread answers of 14 MB');
  big.forEach(socket => socket.destroy());
  const chatty = await sendAll(n1, 5, i => request(n1, 'tools/call', {name: 'good__progress', arguments: {steps: 200_000, ms: 0}},
    {id: i, more: {progressToken: 'x'.repeat(200)}}), false);
  assertFair('beside a million unread notifications', alone, await p99([n1, n2], 300));
  await waitFor('all have their answers', async () => (await ctlJson(n2, 'servers')).items[0].in_flight === 0);
  await assertWell(n1, 'a million unread notifications');
  assert.ok(megabytes(n1) < 250, `${megabytes(n1)} MB`);
  chatty.forEach(socket => socket.destroy());
}));

test('unread answers have one budget: who holds most for longest is cut, others are served', twoNodes('budget', async n1 => {
  const ask = () => request(n1, 'tools/call', {name: 'good__big', arguments: {bytes: 14_000_000}});
  const unread = [], finished = async () => (await ctlJson(n1, 'status')).calls.finished, before = await finished();
  for (let i = 1; i <= 40; i++) {
    unread.push(...await sendAll(n1, 1, ask, false));
    await waitFor(`answer ${i} is there`, async () => await finished() === before + i);
  }
  await waitFor('the first are cut', () => n1.log.includes('http.slow_reader'));
  const {message} = await call(n1, 'good__big', {bytes: 14_000_000});
  assert.ok(message.result, JSON.stringify(message).slice(0, 500));
  const cut = n1.log.split('\n').filter(line => line.includes('http.slow_reader'));
  assert.match(cut[0], /unread_bytes=\d{7,} count=1 /);
  assert.ok(cut.length >= 10 && cut.length < 40, `${cut.length} cut`);
  await assertWell(n1, `forty unread answers of 14 MB, ${cut.length} cut`);
  assert.ok(megabytes(n1) < 500, `${megabytes(n1)} MB`);
  for (const socket of unread) socket.destroy();
}));

test('2,000 idle streams: all are told, and the administrator still gets in', twoNodes('idle', async (n1, n2) => {
  const alone = await p99([n1, n2], 300);
  const idle = await sendAll(n1, 2000, i => request(n1, 'subscriptions/listen', {notifications: {toolsListChanged: true}}, {id: i}), true);
  await waitFor('all are acknowledged', () => idle.every(socket => socket.got.includes('acknowledged')));
  await assertWell(n1, '2,000 streams');
  assert.equal((await ctl(n1, 'status')).code, 0);
  assert.equal((await ctl(n2, 'servers', 'add', 'second', '--', join(bin, 'mcp-tool-stdio'))).code, 0);
  assertFair('beside 2,000 streams that are told', alone, await p99([n1, n2], 300));
  await waitFor('all are told', () => idle.every(socket => socket.got.includes('tools/list_changed')));
  idle.forEach(socket => socket.destroy());
}));

test('heads, ids and bodies that are wrong', twoNodes('heads', async n1 => {
  const same = await Promise.all([1, 2, 3].map(() => call(n1, 'good__sleep', {ms: 100}, {id: 'same'})));
  for (const {message} of same) assert.equal(message.id, 'same');
  const plain = {name: 'good__echo', arguments: {text: 'x'}};
  const pipelined = await connect(n1);
  pipelined.write(request(n1, 'tools/call', plain).repeat(20));
  await waitFor('all of a pipeline are answered', () => pipelined.got.split('HTTP/1.1 200').length === 21);
  pipelined.destroy();
  const table = [
    ['Mcp-Method: tools/list\r\n', 400], ['Mcp-Name: other\r\n', 400], ['Host: evil.example\r\n', 400, 403],
    [`Origin: http://${n1.http}\r\nOrigin: http://evil.example\r\n`, 400, 403], ['Content-Length: 5\r\n', 400],
    ['Transfer-Encoding: chunked\r\n', 400], [`X-Big: ${'a'.repeat(100_000)}\r\n`, 413, 431], ['X-Many: 1\r\n'.repeat(500), 413, 431],
  ];
  for (const [extra, ...codes] of table) {
    const socket = await connect(n1);
    socket.write(request(n1, 'tools/call', plain, {extra}));
    await waitFor(`an answer to ${extra.slice(0, 30).trim()}`, () => socket.isClosed || /^HTTP\/1.1 \d+/.test(socket.got));
    if (socket.got) assert.ok(codes.some(code => socket.got.startsWith(`HTTP/1.1 ${code}`)), `${extra.slice(0, 80)}: ${socket.got.slice(0, 300)}`);
    socket.destroy();
  }
  const slow = await sendAll(n1, 500, () => request(n1, 'tools/call', {name: 'good__echo', arguments: {text: 'x'.repeat(200_000)}}).slice(0, 100_000), true);
  const half = await sendAll(n1, 500, () => 'POST /mcp HT', true);
  await assertWell(n1, '500 half bodies, 500 half heads');
  await waitFor('all of them are cut', () => [...slow, ...half].every(socket => socket.isClosed));
}));
