// Servers that ask their client in the middle of a call, across two nodes and in all four combinations of eras.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema} from '@modelcontextprotocol/sdk/types.js';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, modern, nodejs, root, url, everything} from './lib/mesh.mjs';

const fixture = join(root, 'tests', 'conformance', 'fixture', 'main.mjs');
const server = era => ({command: nodejs, args: [fixture, '--stdio'], era});
const capabilities = {sampling: {}, elicitation: {}, roots: {}};

const threeNodes = (name, body) => withMesh(name, async mesh => {
  const nodes = await mesh.cluster(3, {n2: {old: server('legacy'), new: server('modern')}});
  for (const node of nodes)
    await waitFor(`${node.name} lists both servers`, async () => {
      const names = (await modern(node, 'tools/list')).message.result.tools.map(tool => tool.name);
      return ['old', 'new'].every(prefix => names.includes(`${prefix}__test_input_required_result_elicitation`));
    });
  await body(...nodes, mesh);
});

// What is large is asked, and answered, in slices: others are served meanwhile.
const sampler = era => ({command: nodejs, args: [join(root, 'tests', 'integration', 'lib', 'sampler.mjs'), era], era});
test('pictures of many megabytes are asked for with, and answered by others', withMesh('ask-large', async mesh => {
  const question = 20 << 20, picture = 15 << 20; // what is posted has 16 MiB at most
  const [n1] = await mesh.cluster(2, {n2: {old: sampler('legacy'), new: sampler('modern'), other: sampler('legacy')}});
  await waitFor('n1 lists the servers', async () => {
    const {text} = await modern(n1, 'tools/list');
    return ['old__picture', 'new__picture', 'other__echo'].every(name => text.includes(name));
  });
  for (const [combination, connect, prefix] of [['LL', legacy, 'old'], ['LM', legacy, 'new'], ['ML', stateless, 'old'], ['MM', stateless, 'new']]) {
    const asked = [];
    const client = await connect(n1, 'ann', '/mcp', undefined, async ({params: {messages}}) => {
      asked.push(messages[0].content.data.length);
      return {role: 'assistant', model: 'none', content: {type: 'image', mimeType: 'image/png', data: 'B'.repeat(picture)}};
    });
    let isDone = false, count = 0;
    const call = client.callTool({name: `${prefix}__picture`, arguments: {bytes: question}}, undefined, {timeout: 120_000}).finally(() => { isDone = true; });
    do {
      const {message, text} = await modern(n1, 'tools/call', {name: 'other__echo', arguments: {}});
      assert.ok(message.result, text.slice(0, 300));
      count++;
    } while (!isDone);
    assert.equal((await call).content[0].text, `${picture} BBBB`, combination);
    assert.deepEqual(asked, [question], combination);
    console.log(`# ${combination}: ${count} calls of another client meanwhile`);
    await client.close();
  }
}));

// What these clients answer; [name] shows whose answer it was.
const answers = name => ({
  sampling: async () => ({role: 'assistant', model: 'none', content: {type: 'text', text: `sampled by ${name}`}}),
  elicitation: async () => ({action: 'accept', content: {name, confirmed: true, color: 'red', ok: true}}),
  roots: async () => ({roots: [{uri: `file:///home/${name}`, name}]}),
});

async function legacy(node, name, path = '/mcp', transport = new HttpV1(new URL(url(node, path))), sampling = undefined) {
  const client = new ClientV1({name, version: '0'}, {capabilities});
  const says = answers(name);
  client.setRequestHandler(CreateMessageRequestSchema, sampling ?? says.sampling);
  client.setRequestHandler(ElicitRequestSchema, says.elicitation);
  client.setRequestHandler(ListRootsRequestSchema, says.roots);
  await client.connect(transport);
  return client;
}

async function stateless(node, name, path = '/mcp', transport = new StreamableHTTPClientTransport(new URL(url(node, path))), sampling = undefined) {
  const client = new Client({name, version: '0'}, {capabilities, versionNegotiation: {mode: {pin: '2026-07-28'}}});
  const says = answers(name);
  client.setRequestHandler('sampling/createMessage', sampling ?? says.sampling);
  client.setRequestHandler('elicitation/create', says.elicitation);
  client.setRequestHandler('roots/list', says.roots);
  await client.connect(transport);
  return client;
}

const textOf = result => JSON.stringify(result.content);

for (const [combination, connect, prefix] of [
  ['LL', legacy, 'old__'], ['LM', legacy, 'new__'], ['ML', stateless, 'old__'], ['MM', stateless, 'new__'],
])
  test(`${combination}: elicitation, sampling, roots, several at once, several rounds`, threeNodes(`ask-${combination.toLowerCase()}`, async n1 => {
    const client = await connect(n1, 'ann');
    const call = name => client.callTool({name: `${prefix}test_input_required_result_${name}`, arguments: {}});
    assert.match(textOf(await call('elicitation')), /ann/);
    assert.match(textOf(await call('sampling')), /sampled by ann/);
    assert.match(textOf(await call('list_roots')), /file:\/\/\/home\/ann/);
    assert.equal((await call('multiple_inputs')).isError ?? false, false);
    assert.equal((await call('multi_round')).isError ?? false, false);
    await client.close();
  }));

test('clients of one legacy server hear only their own questions', threeNodes('ask-apart', async (n1, n2, n3) => {
  const clients = await Promise.all([legacy(n1, 'ann'), legacy(n3, 'bob'), stateless(n1, 'cyd'), stateless(n3, 'dan')]);
  const names = ['ann', 'bob', 'cyd', 'dan'];
  for (let round = 0; round < 3; round++) {
    const results = await Promise.all(clients.map(client =>
      client.callTool({name: 'old__test_input_required_result_elicitation', arguments: {}})));
    results.forEach((result, i) => assert.match(textOf(result), new RegExp(names[i])));
  }
  for (const client of clients) await client.close();
}));

// The reference server has tools that it shows, and serves, only to clients that can be asked. The node's own session with it
// is not one of these, so they are on no list; who knows their names gets what the server itself says.
test('tools that are only for clients that can be asked', withMesh('ask-hidden', async mesh => {
  const reference = {command: nodejs, args: [everything, 'stdio']};
  const [n1] = await mesh.cluster(2, {n2: {every: reference}});
  await waitFor('n1 lists the server', async () => (await modern(n1, 'tools/list')).text.includes('every__echo'));
  const direct = await legacy(null, 'ann', '', new StdioClientTransport({...reference, stderr: 'ignore'}));
  const through = await legacy(n1, 'ann', '/mcp/servers/every');
  const calls = {'trigger-sampling-request': {prompt: 'hi', maxTokens: 9}, 'trigger-elicitation-request': {}, 'get-roots-list': {}};
  for (const [name, given] of Object.entries(calls)) {
    const [here, there] = await Promise.all([direct, through].map(client => client.callTool({name, arguments: given})));
    assert.deepEqual(there, here, name);
    assert.match(textOf(there), /ann/, name);
  }
  await direct.close();
  await through.close();
}));

/* As behind a balancer: requests go to one node, answers to another. */
test('what is posted at another node gets to its call', threeNodes('ask-balanced', async (n1, n2, n3) => {
  const codes = [];
  const balanced = async (to, init) => {
    const message = init.method === 'POST' ? JSON.parse(init.body) : {method: init.method};
    if (message.method !== undefined) return fetch(to, init);
    const response = await fetch(url(n3, '/mcp'), init);
    codes.push(response.status);
    return response;
  };
  const client = await legacy(n1, 'ann', '/mcp', new HttpV1(new URL(url(n1, '/mcp')), {fetch: balanced}));
  for (const prefix of ['old__', 'new__']) {
    assert.match(textOf(await client.callTool({name: `${prefix}test_input_required_result_elicitation`, arguments: {}})), /ann/);
    assert.match(textOf(await client.callTool({name: `${prefix}test_input_required_result_sampling`, arguments: {}})), /sampled by ann/);
  }
  await waitFor('the last post is answered, too', () => codes.length === 4, {quiet: true}); // its call may be sooner
  assert.deepEqual(codes, [202, 202, 202, 202]);
  await client.close();
}));

// By hand: one request of the modern era.
const meta = {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': capabilities};
async function ask(node, params) {
  const response = await fetch(url(node), {
    method: 'POST',
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': params.name},
    body: JSON.stringify({jsonrpc: '2.0', id: 1, method: 'tools/call', params: {...params, _meta: meta}}),
  });
  const text = await response.text();
  return JSON.parse(text.startsWith('{') ? text : text.split('\n').filter(line => line.startsWith('data: ')).at(-1).slice(6));
}

test('any node finds the way back, once, and only for the same request', threeNodes('ask-anywhere', async (n1, n2, n3) => {
  const params = {name: 'old__test_input_required_result_elicitation', arguments: {}};
  const {result} = await ask(n1, params);
  assert.equal(result.resultType, 'input_required');
  assert.equal(Object.values(result.inputRequests)[0].params._meta['meshnode/server'], 'old'); // who asks
  const [key] = Object.keys(result.inputRequests);
  const inputResponses = {[key]: {action: 'accept', content: {name: 'eve'}}};
  const {requestState} = result;
  const tampered = {requestState: requestState.slice(0, 30) + (requestState[30] === 'A' ? 'B' : 'A') + requestState.slice(31)};
  for (const [what, changed] of [
    ['tampered', tampered],
    ['another tool', {name: 'old__test_input_required_result_sampling'}],
    ['other arguments', {arguments: {x: 1}}],
  ])
    assert.equal((await ask(n1, {...params, inputResponses, requestState, ...changed})).error?.code, -32602, what);
  // Whoever makes up one after the other takes nothing from others, though none of them has a secret.
  for (let i = 0; i < 30; i++) assert.equal((await ask(n3, {...params, inputResponses, ...tampered})).error?.code, -32602);
  const again = (await ask(n3, {...params, requestState, inputResponses: {}})).result; // nothing answered: asked again
  assert.equal(again.resultType, 'input_required');
  const last = (await ask(n2, {...params, requestState: again.requestState, inputResponses: {[Object.keys(again.inputRequests)[0]]: inputResponses[key]}})).result;
  assert.equal(last.resultType, 'complete');
  assert.match(textOf(last), /eve/);
  for (const node of [n1, n2, n3])
    assert.equal((await ask(node, {...params, inputResponses, requestState})).error.code, -32602);
}));
