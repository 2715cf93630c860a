// Real MCP clients of both eras at real nodes: SDK v1, SDK v2, inspector, mcp-remote, the stdio bridge.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {writeFileSync} from 'node:fs';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, ctl, ctlJson, modern, run, bin, nodejs, everything, everythingHttp, modules, url} from './lib/mesh.mjs';
import {connectStreaming} from './lib/streaming.mjs';

const echo = {everything: {command: nodejs, args: [everything, 'stdio']}};
const listed = async (node, name) => (await modern(node, 'tools/list')).message.result.tools.some(t => t.name === name);

// Two nodes, the server on n2, the client at n1.
const twoNodes = (name, body) => withMesh(name, async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: echo});
  await waitFor('n1 lists everything__echo', () => listed(n1, 'everything__echo'));
  await body(n1, n2, mesh);
});

async function v1(node, path = '/mcp') {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities: {}});
  await client.connect(new HttpV1(new URL(url(node, path))));
  return client;
}

async function v2(node, mode, path = '/mcp') {
  const client = new Client({name: 'test', version: '0'}, {capabilities: {}, versionNegotiation: {mode}});
  await client.connect(new StreamableHTTPClientTransport(new URL(url(node, path))));
  return client;
}

test('SDK v1, legacy: list, call, progress, errors', twoNodes('v1', async n1 => {
  const client = await v1(n1);
  const {tools} = await client.listTools();
  assert.ok(tools.every(tool => /^[A-Za-z0-9_-]{1,64}$/.test(tool.name)));
  const result = await client.callTool({name: 'everything__echo', arguments: {message: 'hi'}});
  assert.match(result.content[0].text, /hi/);
  const steps = [];
  await client.callTool({name: 'everything__trigger-long-running-operation', arguments: {duration: 1, steps: 4}},
    undefined, {onprogress: progress => steps.push(progress.progress)});
  assert.ok(steps.length >= 3, JSON.stringify(steps));
  assert.deepEqual([...steps].sort((a, b) => a - b), steps);
  await assert.rejects(client.callTool({name: 'everything__nothing', arguments: {}}), /unknown tool|-32602|not/i);
  const bad = await client.callTool({name: 'everything__get-sum', arguments: {a: 'x'}}).catch(error => ({isError: true, error}));
  assert.ok(bad.isError);
  await client.ping();
  await client.close();
}));

test('SDK v2, both eras: negotiated, legacy, pinned', twoNodes('v2', async n1 => {
  for (const mode of ['auto', 'legacy', {pin: '2026-07-28'}]) {
    const client = await v2(n1, mode);
    const result = await client.callTool({name: 'everything__echo', arguments: {message: JSON.stringify(mode)}});
    assert.match(result.content[0].text, /auto|legacy|pin/);
    await client.close();
  }
}));

test('/mcp/servers/NAME is the server as it is, from any node', twoNodes('asis', async (n1, n2) => {
  for (const node of [n1, n2]) {
    const client = await v1(node, '/mcp/servers/everything');
    assert.match(client.getServerVersion().name, /everything/);
    const {tools} = await client.listTools();
    assert.ok(tools.some(tool => tool.name === 'echo'));
    const result = await client.callTool({name: 'get-structured-content', arguments: {location: 'New York'}});
    assert.ok(result.structuredContent);
    await client.close();
  }
  const client = await v1(n1, '/mcp/servers/everything.n2');
  assert.ok((await client.listTools()).tools.length > 5);
  await client.close();
}));

test('inspector CLI, legacy and modern', twoNodes('inspector', async n1 => {
  const inspector = join(modules, '.bin', 'mcp-inspector');
  for (const era of ['legacy', 'modern']) {
    const result = await run(nodejs, [inspector, '--cli', url(n1), '--transport', 'http', '--protocol-era', era, '-q', '--format', 'json',
      '--method', 'tools/call', '--tool-name', 'everything__echo', '--tool-arg', `message=${era}`]);
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout, new RegExp(era));
  }
}));

test('mcp-remote and `meshnode mcp` on stdio', twoNodes('stdio', async (n1, n2, mesh) => {
  const bridges = [
    {command: join(bin, 'meshnode'), args: ['mcp', '--server', url(n1)]},
    {command: nodejs, args: [join(modules, '.bin', 'mcp-remote'), url(n1), '--allow-http', '--transport', 'http-only'],
      env: {...process.env, MCP_REMOTE_CONFIG_DIR: join(mesh.dir, 'remote')}},
  ];
  for (const bridge of bridges) {
    const client = new ClientV1({name: 'test', version: '0'}, {capabilities: {}});
    await client.connect(new StdioClientTransport(bridge));
    const result = await client.callTool({name: 'everything__echo', arguments: {message: 'over stdio'}});
    assert.match(result.content[0].text, /over stdio/);
    await client.close();
  }
}));

test('tools that come and go are announced to clients on another node, in both eras', twoNodes('changed', async (n1, n2) => {
  const legacy = new ClientV1({name: 'test', version: '0'}, {capabilities: {}});
  let changes = 0;
  const {ToolListChangedNotificationSchema} = await import('@modelcontextprotocol/sdk/types.js');
  legacy.setNotificationHandler(ToolListChangedNotificationSchema, () => { changes++; });
  await connectStreaming(legacy, url(n1));
  const listen = new AbortController();
  const response = await fetch(url(n1), {
    method: 'POST', signal: listen.signal,
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
    body: JSON.stringify({jsonrpc: '2.0', id: 'L', method: 'subscriptions/listen', params: {notifications: {toolsListChanged: true},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}}),
  });
  let heard = '';
  (async () => { for await (const bytes of response.body) heard += Buffer.from(bytes).toString(); })().catch(() => {});
  await waitFor('the listen is acknowledged', () => heard.includes('subscriptions/acknowledged'));
  assert.equal((await ctl(n2, 'servers', 'add', 'second', '--', nodejs, everything, 'stdio')).code, 0);
  await waitFor('n1 lists second__echo', () => listed(n1, 'second__echo'));
  await waitFor('the legacy client was told', () => changes > 0);
  await waitFor('the modern client was told', () => heard.includes('notifications/tools/list_changed'));
  assert.match(heard, /"io.modelcontextprotocol\/subscriptionId":\s*"L"/);
  const before = changes;
  assert.equal((await ctl(n2, 'servers', 'rm', 'second')).code, 0);
  await waitFor('n1 lists it no more', async () => !await listed(n1, 'second__echo'));
  await waitFor('the legacy client was told again', () => changes > before);
  listen.abort();
  await legacy.close();
}));

test('cancellation reaches the server, and the client gets nothing more', twoNodes('cancel', async (n1, n2) => {
  const client = await v1(n1);
  const abort = new AbortController();
  const call = client.callTool({name: 'everything__trigger-long-running-operation', arguments: {duration: 300, steps: 300}},
    undefined, {signal: abort.signal});
  await waitFor('the call runs on n2', async () => (await ctlJson(n2, 'servers')).items[0].in_flight === 1);
  abort.abort();
  await assert.rejects(call);
  await waitFor('it is gone on n2', async () => (await ctlJson(n2, 'servers')).items[0].in_flight === 0);
  await client.close();
}));

/* As behind a balancer: the call at one node, what takes it back at another. */
test('a cancellation that is posted at another node reaches the server', twoNodes('cancel-elsewhere', async (n1, n2) => {
  const balanced = (to, init) => fetch(String(init.body).includes('notifications/cancelled') ? url(n2, '/mcp') : to, init);
  const client = new ClientV1({name: 'cancels', version: '0'});
  await client.connect(new HttpV1(new URL(url(n1, '/mcp')), {fetch: balanced}));
  const abort = new AbortController();
  const call = client.callTool({name: 'everything__trigger-long-running-operation', arguments: {duration: 300, steps: 300}},
    undefined, {signal: abort.signal});
  await waitFor('the call runs on n2', async () => (await ctlJson(n2, 'servers')).items[0].in_flight === 1);
  abort.abort();
  await assert.rejects(call);
  await waitFor('it is gone on n2', async () => (await ctlJson(n2, 'servers')).items[0].in_flight === 0);
  await client.close();
}));

test('meshctl: tools, call, servers, route, client, doctor, JSON errors', twoNodes('ctl', async (n1, n2, mesh) => {
  const call = await ctl(n1, 'call', 'everything__echo', '{"message":"typed"}');
  assert.equal(call.code, 0, call.stderr);
  assert.match(call.stdout, /typed/);
  assert.equal((await ctl(n1, 'call', 'nothing__here')).code, 5);
  assert.equal((await ctl(n1, 'call', 'everything__echo', 'not json')).code, 2);
  const pinned = await ctl(n1, 'call', 'everything__echo', '{"message":"there"}', '--node', 'n2');
  assert.equal(pinned.code, 0, pinned.stderr);
  const route = await ctlJson(n1, 'route', 'explain', 'everything__echo');
  assert.equal(route.items.length, 1);
  assert.equal(route.items[0].node, 'n2');
  assert.ok(route.items[0].winner);
  for (const client of ['claude-code', 'cursor', 'vscode', 'json'])
    assert.match((await ctl(n1, 'client', client)).stdout, new RegExp(n1.http.replaceAll('.', '\\.')));
  // What it says of the bridge is to be pasted as it is.
  const {meshnode} = JSON.parse((await ctl(n1, 'client', 'json')).stderr.split('\n').find(line => line.startsWith('{'))).mcpServers;
  const client = new ClientV1({name: 'pasted', version: '0'}, {capabilities: {}});
  await client.connect(new StdioClientTransport({command: join(bin, meshnode.command), args: meshnode.args}));
  assert.ok((await client.listTools()).tools.length > 0);
  await client.close();
  await waitFor('nothing is found', async () => (await ctl(n1, 'doctor')).code === 0);
  const table = (await ctl(n1, 'nodes')).stdout.split('\n')[0];
  assert.match(table, /^NAME\s+ID\s+STATUS\s+ROLE\s+REGION\s+LINK\s+RTT\s+TOOLS\s+VERSION\s+UPTIME/);
  const missing = await run(join(bin, 'meshctl'), ['--json', '--data', mesh.dir, 'nodes']);
  assert.equal(missing.code, 3);
  assert.equal(JSON.parse(missing.stderr).error.code, 'unreachable');
  const logs = await ctl(n2, 'servers', 'logs', 'everything');
  assert.equal(logs.code, 0, logs.stderr);
}));

test('two equal servers that are not replicas stay apart; marked ones are one', withMesh('conflict', async mesh => {
  const memory = {memory: {command: nodejs, args: [join(modules, '@modelcontextprotocol', 'server-memory', 'dist', 'index.js')]}};
  const marked = {everything: {...echo.everything, replica: true}};
  const [n1, n2, n3] = await mesh.cluster(3, {n1: {...memory, ...marked}, n2: {...memory, ...marked}});
  // The name is that of whoever came first, or nobody's if they came at once; it is never both.
  await waitFor('n3 lists both kept apart', async () => {
    const [bare, one, two] = await Promise.all(['memory', 'memory_n1', 'memory_n2'].map(name => listed(n3, `${name}__read_graph`)));
    return bare ? !one !== !two && (await ctlJson(n3, 'route', 'explain', 'memory__read_graph')).items.length === 1 : one && two;
  });
  await waitFor('n3 lists the replicas as one', () => listed(n3, 'everything__echo'));
  await waitFor('n3 knows both replicas', async () => (await ctlJson(n3, 'route', 'explain', 'everything__echo')).items.length === 2);
  // One replica dies: the other takes over.
  mesh.kill(n1);
  await n1.exited;
  for (let i = 0; i < 20; i++) {
    const {message} = await modern(n3, 'tools/call', {name: 'everything__echo', arguments: {message: `after ${i}`}});
    if (message.error) assert.match(message.error.data.reason, /outcome_unknown|unavailable/);
    else assert.match(message.result.content[0].text, /after/);
  }
  await waitFor('calls are answered by n2', async () =>
    (await modern(n3, 'tools/call', {name: 'everything__echo', arguments: {message: 'x'}})).message.result);
}));

test('HTTP upstreams: the same server over Streamable HTTP', withMesh('http', async mesh => {
  const port = await everythingHttp(mesh);
  const [n1, n2] = await mesh.cluster(2, {n2: {web: {url: `http://127.0.0.1:${port}/mcp`}}});
  await waitFor('n1 lists web__echo', () => listed(n1, 'web__echo'));
  const {message} = await modern(n1, 'tools/call', {name: 'web__echo', arguments: {message: 'by http'}});
  assert.match(message.result.content[0].text, /by http/);
  const steps = [];
  const client = await v1(n1);
  await client.callTool({name: 'web__trigger-long-running-operation', arguments: {duration: 1, steps: 4}}, undefined, {onprogress: p => steps.push(p.progress)});
  assert.ok(steps.length >= 3, JSON.stringify(steps));
  await client.close();
}));

test('filesystem server: content passes through', withMesh('files', async mesh => {
  const server = join(modules, '@modelcontextprotocol', 'server-filesystem', 'dist', 'index.js');
  writeFileSync(join(mesh.dir, 'note.txt'), 'ünïcode 🎉\n');
  const [n1, n2] = await mesh.cluster(2, {n2: {files: {command: nodejs, args: [server, mesh.dir]}}});
  await waitFor('n1 lists files__read_text_file', () => listed(n1, 'files__read_text_file'));
  const {message} = await modern(n1, 'tools/call', {name: 'files__read_text_file', arguments: {path: join(mesh.dir, 'note.txt')}});
  assert.match(message.result.content[0].text, /ünïcode 🎉/);
}));
