// Servers that misbehave, and what they leave behind: nothing.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join, dirname} from 'node:path';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {withMesh, waitFor, ctl, ctlJson, modern, bin, modules, sleep, nodejs, descendants, url} from './lib/mesh.mjs';

const tool = join(bin, 'mcp-tool-stdio');
const listed = async (node, name) => (await modern(node, 'tools/list')).message.result.tools.some(t => t.name === name);
const state = async (node, name) => (await ctlJson(node, 'servers')).items.find(s => s.name === name)?.state;

test('a server that is missing, crashes, hangs or babbles never blocks a list or another server', withMesh('bad', async mesh => {
  writeFileSync(join(mesh.dir, 'babble.mjs'), `setInterval(() => console.log('not json '.repeat(50)), 5);
    process.stdin.on('data', () => {});`);
  const n1 = await mesh.found('n1', {servers: {
    good: {command: tool},
    missing: {command: 'no-such-program-anywhere'},
    crashing: {command: 'sh', args: ['-c', 'exit 3']},
    hanging: {command: 'sleep', args: ['1000']},
    babbling: {command: nodejs, args: [join(mesh.dir, 'babble.mjs')]},
  }});
  await waitFor('the good one is listed', () => listed(n1, 'good__echo'));
  for (let i = 0; i < 50; i++) {
    const {message} = await modern(n1, 'tools/call', {name: 'good__echo', arguments: {message: `${i}`, text: `${i}`}});
    assert.ok(message.result, JSON.stringify(message));
  }
  await waitFor('the missing one says why', async () =>
    (await ctlJson(n1, 'servers')).items.find(s => s.name === 'missing').error.includes('no-such-program-anywhere'));
  await waitFor('the crashing one backs off', async () => ['backoff', 'failed'].includes(await state(n1, 'crashing')));
  assert.notEqual(await state(n1, 'hanging'), 'ready');
}));

test('where libcurl cannot be loaded, https says what to install, and all else is served', withMesh('nocurl', async mesh => {
  const folder = join(mesh.dir, 'lib');
  mkdirSync(folder);
  writeFileSync(join(folder, 'libcurl.so.4'), 'no library'); // found before the system's
  const n1 = await mesh.found('n1', {env: {LD_LIBRARY_PATH: folder}, servers: {
    good: {command: tool},
    web: {url: 'https://127.0.0.1:1/mcp'},
  }});
  await waitFor('the good one is listed', () => listed(n1, 'good__echo'));
  const {error} = await waitFor('the other one says why', async () => {
    const web = (await ctlJson(n1, 'servers')).items.find(({name}) => name === 'web');
    return web.error && web;
  });
  assert.match(error, /libcurl\.so\.4/);
  assert.match(error, /apt-get install libcurl4/);
  assert.match(error, new RegExp(`${folder}/libcurl`)); // which one it was
  assert.match((await ctl(n1, 'doctor')).stdout, /apt-get install libcurl4/);
  const {message} = await modern(n1, 'tools/call', {name: 'good__echo', arguments: {message: 'x', text: 'x'}});
  assert.ok(message.result, JSON.stringify(message));
}));

test('a crash in the middle of a call is told, and the server comes back', withMesh('crash', async mesh => {
  const n1 = await mesh.found('n1', {servers: {tool: {command: tool}}});
  await waitFor('it is listed', () => listed(n1, 'tool__echo'));
  const {message} = await modern(n1, 'tools/call', {name: 'tool__crash', arguments: {}});
  assert.equal(message.error?.data?.reason, 'outcome_unknown', JSON.stringify(message));
  await waitFor('it answers again', async () => (await modern(n1, 'tools/call', {name: 'tool__echo', arguments: {text: 'back', message: 'back'}})).message.result);
}));

test('both eras of upstream, with progress, cancel and big results', withMesh('eras', async mesh => {
  const n1 = await mesh.found('n1');
  const n2 = await mesh.start('n2', {join: n1.mesh, token: n1.token, servers: {
    old: {command: tool}, new: {command: tool, args: ['--era', 'modern']}, both: {command: tool, args: ['--era', 'both']}}});
  await mesh.ready(n1, 2);
  for (const name of ['old', 'new', 'both']) {
    await waitFor(`${name} is listed at n1`, () => listed(n1, `${name}__echo`));
    const big = await modern(n1, 'tools/call', {name: `${name}__big`, arguments: {bytes: 1_000_000}});
    assert.ok(big.text.length > 1_000_000, `${big.text.length}`);
    const client = new Client({name: 't', version: '0'}, {capabilities: {}});
    await client.connect(new StreamableHTTPClientTransport(new URL(url(n1))));
    const steps = [];
    await client.callTool({name: `${name}__progress`, arguments: {steps: 5}}, undefined, {onprogress: p => steps.push(p.progress)});
    assert.ok(steps.length >= 4, `${name}: ${JSON.stringify(steps)}`);
    await client.close();
  }
  const servers = (await ctlJson(n2, 'servers')).items;
  assert.equal(servers.find(s => s.name === 'old').era, 'legacy');
  assert.equal(servers.find(s => s.name === 'new').era, 'modern');
}));

test('no zombie and no leaked process after 1,000 calls, 50 client kills, and kill -9 of the node', withMesh('leaks', async mesh => {
  const n1 = await mesh.found('n1', {servers: {
    // While a server is asked what it shows to whom there are more of them, so it is not (audience.test.mjs: none of these
    // stays). The second one is a grandchild: npx, a shell, node. It is installed, so that nothing is fetched.
    tool: {command: tool, uniform: true},
    nested: {command: 'npx', args: ['--no-install', 'mcp-server-everything', 'stdio'], cwd: dirname(modules), uniform: true},
  }});
  await waitFor('both are listed', async () => await listed(n1, 'tool__echo') && await listed(n1, 'nested__echo'));
  const call = i => modern(n1, 'tools/call', {name: i % 10 ? 'tool__echo' : 'nested__echo', arguments: {message: 'x', text: 'x'}});
  await waitFor('two helpers, the tool, npx, sh, node', () => descendants(n1.pid).length === 6);
  for (let i = 0; i < 1000; i += 20)
    for (const answer of await Promise.all(Array.from({length: 20}, (_, k) => call(i + k))))
      assert.ok(answer.message.result, answer.text);
  for (let i = 0; i < 50; i++) { // clients that go away in the middle
    const abort = new AbortController();
    const pending = fetch(url(n1), {method: 'POST', signal: abort.signal,
      headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call', 'mcp-name': 'tool__sleep'},
      body: JSON.stringify({jsonrpc: '2.0', id: i, method: 'tools/call', params: {name: 'tool__sleep', arguments: {ms: 5000},
        _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}})}).catch(() => {});
    await sleep(10);
    abort.abort();
    await pending;
  }
  await waitFor('cancelled calls are gone', async () => (await ctlJson(n1, 'servers')).items.every(s => s.in_flight === 0));
  const family = descendants(n1.pid), commands = family.map(({pid}) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  assert.ok(commands.some(line => /^npm exec|npx/.test(line)) && commands.some(line => /node\0.*mcp-server-everything/.test(line)), commands.join('\n'));
  assert.deepEqual(family.filter(p => p.state === 'Z'), []);
  assert.equal(family.length, 6, commands.join('\n')); // none more than before the first call
  mesh.kill(n1);
  await n1.exited;
  await waitFor('nothing is left behind', () => {
    const left = family.filter(({pid}) => { try { process.kill(pid, 0); return true; } catch { return false; } });
    return left.length === 0;
  });
}));

test('servers add, restart, rm at run time; added ones survive a restart of the node', withMesh('runtime', async mesh => {
  const n1 = await mesh.found('n1');
  assert.equal((await ctl(n1, 'servers', 'add', 'tool', '--env', 'A=b', '--', tool)).code, 0);
  await waitFor('it is listed', () => listed(n1, 'tool__echo'));
  assert.equal((await ctl(n1, 'servers', 'add', 'tool', '--', tool)).code, 6);
  assert.equal((await ctl(n1, 'servers', 'restart', 'tool')).code, 0);
  await waitFor('it is listed again', () => listed(n1, 'tool__echo'));
  mesh.kill(n1);
  await n1.exited;
  const again = await mesh.start('n1', {data: n1.data});
  await waitFor('it is there after a restart', () => listed(again, 'tool__echo'));
  assert.equal((await ctl(again, 'servers', 'rm', 'tool')).code, 0);
  await waitFor('it is gone', async () => !await listed(again, 'tool__echo'));
  assert.equal((await ctl(again, 'servers', 'rm', 'tool')).code, 5);
}));
