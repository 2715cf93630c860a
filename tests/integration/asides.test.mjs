// What a legacy server says to one client outside of any call: directly against through two nodes, with the reference server
// and with one by hand; that nobody else hears it; and that a session which moves to another node goes on hearing.
import test from 'node:test';
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {ElicitRequestSchema, ListRootsRequestSchema, LoggingMessageNotificationSchema} from '@modelcontextprotocol/sdk/types.js';
import {withMesh, waitFor, modern, nodejs, everything, everythingHttp, sleep, url} from './lib/mesh.mjs';

const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
const fixture = mesh => ({command: nodejs, args: [join(import.meta.dirname, 'lib', 'legacy.mjs'), join(mesh.dir, 'diary')]});

// A client that keeps what it is told: {method, params} each.
async function open(transport, name, capabilities = {}) {
  const client = new Client({name, version: '0'}, {capabilities});
  client.told = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({method, params}) => { client.told.push({method, params}); });
  client.fallbackNotificationHandler = async ({method, params}) => { client.told.push({method, params}); };
  await client.connect(transport);
  return client;
}

const through = (node, server) => new StreamableHTTPClientTransport(new URL(url(node, server ? `/mcp/servers/${server}` : '/mcp')));
const logs = client => client.told.filter(({method}) => method === 'notifications/message').map(({params}) => params);
const listed = (node, name) => waitFor(`${node.name} lists ${name}`, async () =>
  (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === name));

test('simulated logging of the reference server: on stdio and at a URL, directly and through two nodes', withMesh('simulated', async mesh => {
  const port = await everythingHttp(mesh), command = {command: nodejs, args: [everything, 'stdio']};
  const [n1] = await mesh.cluster(2, {n2: {child: command, remote: {url: `http://127.0.0.1:${port}/mcp`}}});
  await listed(n1, 'child__echo');
  await listed(n1, 'remote__echo');
  const ways = {
    'directly, stdio': new StdioClientTransport(command),
    'directly, URL': new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)),
    'through two nodes, stdio': through(n1, 'child'),
    'through two nodes, URL': through(n1, 'remote'),
  };
  const clients = {}, others = [];
  for (const [way, transport] of Object.entries(ways)) {
    clients[way] = await open(transport, way);
    await clients[way].setLoggingLevel('debug');
  }
  for (const server of ['child', 'remote']) {
    const other = await open(through(n1, server), 'other');
    await other.setLoggingLevel('debug');
    await other.callTool({name: 'echo', arguments: {message: 'here'}});
    others.push(other);
  }
  for (const client of Object.values(clients)) await client.callTool({name: 'toggle-simulated-logging', arguments: {}});
  const seen = Object.fromEntries(Object.entries(clients).map(([way, client]) => [way, logs(client).length]));
  await waitFor('each hears two more, five seconds apart', () =>
    Object.entries(clients).every(([way, client]) => logs(client).length >= seen[way] + 2));
  for (const other of others) assert.deepEqual(logs(other), []);
  for (const [way, client] of Object.entries(clients))
    for (const message of logs(client)) assert.match(message.data, /^(Debug|Info|Notice|Warning|Error|Critical|Alert|Emergency).level.message/, way);
  for (const client of [...Object.values(clients), ...others]) await client.close();
}));

test('simulated updates of the reference server: for who has subscribed, on stdio and at a URL, directly and through two nodes', withMesh('subscribed', async mesh => {
  const port = await everythingHttp(mesh), command = {command: nodejs, args: [everything, 'stdio']};
  const [n1] = await mesh.cluster(2, {n2: {child: command, remote: {url: `http://127.0.0.1:${port}/mcp`}}});
  await listed(n1, 'child__echo');
  await listed(n1, 'remote__echo');
  const uri = 'demo://resource/dynamic/text/1', other = 'demo://resource/dynamic/text/2';
  const ways = {
    'directly, stdio': () => new StdioClientTransport(command),
    'directly, URL': () => new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)),
    'through two nodes, stdio': () => through(n1, 'child'),
    'through two nodes, URL': () => through(n1, 'remote'),
  };
  const updates = client => client.told.filter(({method}) => method === 'notifications/resources/updated').map(({params}) => params.uri);
  const toggle = client => client.callTool({name: 'toggle-subscriber-updates', arguments: {}});
  const clients = [], quiet = [];
  for (const [way, transport] of Object.entries(ways)) {
    const client = await open(transport(), way, {elicitation: {}}), bystander = await open(transport(), way, {elicitation: {}});
    for (const each of [client, bystander]) await each.subscribeResource({uri});
    clients.push([way, client]);
    quiet.push([way, bystander]);
    if (way.includes('two nodes')) await bystander.callTool({name: 'echo', arguments: {message: 'here'}}); // has a session of its own, too
  }
  for (const [, client] of clients) await toggle(client); // the first call of each: it tells at once, and each five seconds
  await waitFor('each hears it three times', () => clients.every(([, client]) => updates(client).length >= 3));
  for (const [way, client] of clients) assert.deepEqual(new Set(updates(client)), new Set([uri]), way);
  // What is subscribed to later is told as well; what is not any more is not.
  for (const [, client] of clients) await client.subscribeResource({uri: other});
  for (const [, client] of clients) await client.unsubscribeResource({uri});
  const hear = (what, count) => waitFor(what, () => clients.every(([, client]) => updates(client).filter(each => each === other).length >= count));
  await hear('each hears of the other one', 1); // and what was on its way before has come
  for (const [, client] of clients) client.told = [];
  await hear('and again', 2);
  for (const [way, client] of clients) assert.deepEqual(new Set(updates(client)), new Set([other]), way);
  for (const [way, client] of quiet) assert.deepEqual(updates(client), [], way);
  for (const [, client] of clients) await toggle(client);
  for (const [, client] of [...clients, ...quiet]) await client.close();
}));

test('what one server by hand says between calls: directly and through two nodes, and to nobody else', withMesh('between', async mesh => {
  const command = fixture(mesh);
  const [n1, n2] = await mesh.cluster(2, {n2: {old: {...command, era: 'legacy'}}});
  await listed(n1, 'old__murmur');
  const direct = await open(new StdioClientTransport(command), 'ann');
  const ann = await open(through(n1, 'old'), 'ann'), bob = await open(through(n1, 'old'), 'bob'), eve = await open(through(n2, 'old'), 'eve');
  const said = client => JSON.stringify(client.told);
  for (const client of [direct, ann, bob, eve]) await client.setLoggingLevel('info');
  for (const client of [bob, eve]) await client.callTool({name: 'told', arguments: {}});
  for (const client of [direct, ann]) await client.callTool({name: 'murmur', arguments: {}});
  await waitFor('both hear', () => direct.told.length === 4 && ann.told.length === 4);
  assert.equal(said(ann), said(direct));
  assert.match(said(ann), /"level":"info".*"level":"warning".*"level":"error".*vendor.told/);

  // A level that is changed between calls is in force before the next.
  const file = join(mesh.dir, 'speak');
  for (const client of [direct, ann]) await client.callTool({name: 'murmur', arguments: {text: 'again', file}});
  for (const client of [direct, ann]) await client.setLoggingLevel('error');
  writeFileSync(file, '');
  await waitFor('both hear less', () => direct.told.length === 6 && ann.told.length === 6);
  await sleep(300);
  assert.equal(said(ann), said(direct));

  // What was to be done at a URL is done after the call has ended with an error that asks for it.
  for (const client of [direct, ann]) {
    client.told = [];
    await assert.rejects(client.callTool({name: 'visit', arguments: {}}), error => error.code === -32042);
  }
  await waitFor('both hear that it is done', () => direct.told.length === 1 && ann.told.length === 1);
  assert.equal(ann.told[0].method, 'notifications/elicitation/complete');
  assert.match(ann.told[0].params.elicitationId, /^visit-1$/);
  assert.equal(said(ann), said(direct));
  assert.deepEqual([bob.told, eve.told], [[], []]);
  for (const client of [direct, ann, bob, eve]) await client.close();
}));

// One that can be asked, and says who it is.
async function asked(transport, name) {
  const client = await open(transport, name, {elicitation: {}, roots: {}});
  client.asked = [];
  client.setRequestHandler(ListRootsRequestSchema, ({method, params}) => {
    client.asked.push({method, params});
    return {roots: [{uri: `file:///home/${name}`}]};
  });
  client.setRequestHandler(ElicitRequestSchema, ({method, params}) => {
    client.asked.push({method, params});
    return {action: 'accept', content: {name}};
  });
  return client;
}

test('what a server asks between calls: directly and through two nodes, and of nobody else', withMesh('asks', async mesh => {
  const command = fixture(mesh);
  const [n1, n2] = await mesh.cluster(2, {n2: {old: {...command, era: 'legacy'}}});
  await listed(n1, 'old__wonder');
  const direct = await asked(new StdioClientTransport(command), 'ann');
  const ann = await asked(through(n1, 'old'), 'ann'), bob = await asked(through(n1, 'old'), 'bob'), eve = await asked(through(n2, 'old'), 'eve');
  for (const client of [bob, eve]) await client.callTool({name: 'told', arguments: {}});
  for (const client of [direct, ann]) await client.callTool({name: 'wonder', arguments: {}});
  await waitFor('both were asked', () => logs(direct).length === 1 && logs(ann).length === 1);
  assert.equal(logs(direct)[0].data, 'ann is ann, in file:///home/ann');
  assert.deepEqual([ann.told, ann.asked], [direct.told, direct.asked]);
  for (const client of [bob, eve]) assert.deepEqual([client.told, client.asked], [[], []]);
  const all = await asked(through(n2), 'all');
  await all.callTool({name: 'old__wonder', arguments: {}});
  await waitFor('she was asked at /mcp', () => logs(all).length === 1);
  assert.equal(all.asked[1].params._meta['meshnode/server'], 'old');
  for (const client of [direct, ann, bob, eve, all]) await client.close();
}));

test('at /mcp each message says which server it is of', withMesh('which', async mesh => {
  const [n1] = await mesh.cluster(2, {n2: {one: {...fixture(mesh), era: 'legacy'}, two: {...fixture(mesh), era: 'legacy'}}});
  await listed(n1, 'one__murmur');
  await listed(n1, 'two__murmur');
  const ann = await open(through(n1), 'ann');
  await ann.setLoggingLevel('error');
  for (const name of ['one', 'two']) await ann.callTool({name: `${name}__murmur`, arguments: {text: name, ms: 100}});
  await waitFor('she hears both', () => ann.told.length === 4);
  for (const {data, _meta} of logs(ann)) assert.equal(data, `${_meta['meshnode/server']} for ann`);
  assert.equal(logs(ann).length, 2);
  await ann.close();
}));

// The messages of a session's own stream, by hand, from after the event [last] on.
async function stream(node, session, last) {
  const abort = new AbortController(), got = {messages: [], last, close: () => abort.abort()};
  const response = await fetch(url(node, '/mcp/servers/old'), {signal: abort.signal, headers: {accept: 'text/event-stream',
    'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25', ...(last ? {'last-event-id': last} : {})}});
  assert.equal(response.status, 200);
  (async () => {
    let rest = '';
    for await (const bytes of response.body) {
      rest += Buffer.from(bytes).toString();
      for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
        for (const line of rest.slice(0, end).split('\n')) {
          if (line.startsWith('id: ')) got.last = line.slice(4);
          if (line.startsWith('data: ') && line.length > 6) got.messages.push(JSON.parse(line.slice(6)));
        }
    }
  })().catch(() => {});
  return got;
}

test('a question outlives the entry node of its client', withMesh('question', async mesh => {
  const [n1, , n3] = await mesh.cluster(3, {n2: {old: {...fixture(mesh), era: 'legacy'}}});
  for (const node of [n1, n3]) await listed(node, 'old__wonder');
  let session;
  const post = async (node, message) => {
    const response = await fetch(url(node, '/mcp/servers/old'), {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', ...message}),
      headers: {...headers, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
    session ??= response.headers.get('mcp-session-id');
    return response.text();
  };
  await post(n1, {id: 1, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {elicitation: {}, roots: {}}, clientInfo: {name: 'ann', version: '1'}}});
  const first = await stream(n1, session);
  await post(n1, {id: 2, method: 'tools/call', params: {name: 'wonder', arguments: {ms: 100}}});
  const question = (from, method) => waitFor(`she is asked ${method}`, () => from.messages.find(message => message.method === method));
  await post(n1, {id: (await question(first, 'roots/list')).id, result: {roots: [{uri: 'file:///here'}]}});
  const before = await question(first, 'elicitation/create');
  await mesh.kill(n1);
  const second = await stream(n3, session, first.last);
  const again = await question(second, 'elicitation/create');
  assert.deepEqual(again.params, before.params);
  await post(n3, {id: again.id, result: {action: 'accept', content: {name: 'ann'}}});
  await waitFor('it knows', () => second.messages.some(({params}) => params?.data === 'ann is ann, in file:///here'));
  second.close();

  // Who has no stream is not asked, and the server hears so soon. But its node learns a moment later than this one that the
  // stream is over: a question before that counts as asked, and waits for her to come back.
  const refusals = () => readFileSync(join(mesh.dir, 'diary'), 'utf8').match(/the client (is not connected|did not answer in time)|"action":"cancel"/g) ?? [];
  for (let id = 3, first; first !== 'the client is not connected'; id++) {
    const before = refusals().length;
    await post(n3, {id, method: 'tools/call', params: {name: 'wonder', arguments: {ms: 100}}});
    await waitFor('the server hears that she is not there, of both its questions', () => refusals().length === before + 2);
    first = refusals()[before];
  }
  const third = await stream(n3, session, second.last);
  await waitFor('it was told', () => third.messages.some(({params}) => /^ann is cancel, in the client is not connected$/.test(params?.data)));
  third.close();
}));

test('a session goes on hearing: its stream is cut, its entry node dies', withMesh('moves', async mesh => {
  const [n1, , n3] = await mesh.cluster(3, {n2: {old: {...fixture(mesh), era: 'legacy'}}});
  for (const node of [n1, n3]) await listed(node, 'old__murmur');
  let session, node = n1, id = 0;
  const post = async (method, params) => {
    const response = await fetch(url(node, '/mcp/servers/old'), {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', id: ++id, method, params}),
      headers: {...headers, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
    session ??= response.headers.get('mcp-session-id');
    return response.text();
  };
  await post('initialize', {protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'ann', version: '1'}});
  await post('logging/setLevel', {level: 'error'});
  const murmur = (text, ms) => post('tools/call', {name: 'murmur', arguments: {text, ms}});
  const heard = (from, text) => waitFor(`she hears ${text}`, () => from.messages.some(({params}) => params?.data === `${text} for ann`));

  const first = await stream(node, session);
  await murmur('first', 100);
  await heard(first, 'first');
  await murmur('missed', 500);
  first.close();
  await sleep(1500); // nobody listens meanwhile
  const second = await stream(node, session, first.last);
  await heard(second, 'missed');

  await murmur('moved', 1500);
  await mesh.kill(n1);
  node = n3;
  const third = await stream(node, session, second.last);
  await heard(third, 'moved');
  await murmur('later', 100);
  await heard(third, 'later');
  assert.equal(third.messages.filter(({method}) => method === 'notifications/message').length, 2); // each once
  third.close();
}));
