// A legacy session outlives its entry node: the client goes on at another one with the same id.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {withMesh, waitFor, nodejs, everything, modern, root, url} from './lib/mesh.mjs';

const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};

async function post(node, session, message, path = '/mcp') {
  const response = await fetch(url(node, path), {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', ...message}),
    headers: {...headers, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
  const text = await response.text();
  const json = text.startsWith('{') ? text : text.split('\n').filter(line => line.startsWith('data: ')).at(-1)?.slice(6);
  return {status: response.status, session: response.headers.get('mcp-session-id'), text, message: json ? JSON.parse(json) : undefined};
}

// The messages on the session's own stream, as they come.
async function stream(node, session, path) {
  const abort = new AbortController(), messages = [];
  const response = await fetch(url(node, path), {signal: abort.signal,
    headers: {...headers, accept: 'text/event-stream', 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'}});
  assert.equal(response.status, 200);
  (async () => {
    let rest = '';
    for await (const bytes of response.body) {
      rest += Buffer.from(bytes).toString();
      for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
        for (const line of rest.slice(0, end).split('\n'))
          if (line.startsWith('data: ')) messages.push(JSON.parse(line.slice(6)));
    }
  })().catch(() => {});
  return {messages, close: () => abort.abort()};
}

test('kill -9 of the entry node: the session goes on elsewhere', withMesh('survive', async mesh => {
  const [n1, n2, n3] = await mesh.cluster(3, {n2: {everything: {command: nodejs, args: [everything, 'stdio']}}});
  for (const node of [n1, n3])
    await waitFor(`${node.name} lists everything__echo`, async () =>
      (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === 'everything__echo'));
  const {session} = await post(n1, null, {id: 1, method: 'initialize', params: {
    protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'ann', version: '1'}}});
  assert.match(session, /^[A-Za-z0-9_-]{100,256}$/);
  const call = {id: 2, method: 'tools/call', params: {name: 'everything__echo', arguments: {message: 'still here'}}};
  assert.match(JSON.stringify((await post(n1, session, call)).message.result), /still here/);
  mesh.kill(n1);
  const gone = await post(n3, session, call);
  assert.equal(gone.status, 200);
  assert.match(JSON.stringify(gone.message.result), /still here/);
  assert.equal((await post(n3, session, {id: 3, method: 'ping'}, '/mcp/servers/everything')).status, 404); // another endpoint
  const changed = session.slice(0, 60) + (session[60] === 'A' ? 'B' : 'A') + session.slice(61);
  assert.equal((await post(n3, changed, call)).status, 404);
  const end = await fetch(url(n3), {method: 'DELETE', headers: {...headers, 'mcp-session-id': session}});
  assert.ok(end.ok);
  assert.equal((await post(n3, session, call)).status, 404);
}));

test('what a client said about its session holds at another node: log level, subscriptions, and that it is over', withMesh('holds', async mesh => {
  const fixture = join(root, 'tests', 'conformance', 'fixture', 'main.mjs');
  const [n1, n2, n3] = await mesh.cluster(3, {n2: {old: {command: nodejs, args: [fixture, '--stdio'], era: 'legacy'}}});
  for (const node of [n1, n3])
    await waitFor(`${node.name} lists the server`, async () =>
      (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === 'old__test_touch_resource'));
  const path = '/mcp/servers/old', uri = 'test://watched-resource';
  const begin = async () => (await post(n1, null, {id: 1, method: 'initialize', params: {
    protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'ann', version: '1'}}}, path)).session;
  const [quiet, loud, over] = [await begin(), await begin(), await begin()];
  const log = (node, session) => post(node, session, {id: 5, method: 'tools/call', params: {name: 'test_tool_with_logging', arguments: {}}}, path);
  for (const [session, level] of [[quiet, 'emergency'], [loud, 'info']])
    assert.deepEqual((await post(n1, session, {id: 2, method: 'logging/setLevel', params: {level}}, path)).message.result, {});
  assert.deepEqual((await post(n1, quiet, {id: 3, method: 'resources/subscribe', params: {uri}}, path)).message.result, {});
  assert.match((await log(n1, loud)).text, /notifications\/message/);
  assert.doesNotMatch((await log(n1, quiet)).text, /notifications\/message/);
  assert.ok((await fetch(url(n1, path), {method: 'DELETE', headers: {...headers, 'mcp-session-id': over}})).ok);
  mesh.kill(n1);

  assert.equal((await post(n3, over, {id: 4, method: 'ping'}, path)).status, 404); // it was ended, though not here
  const quietly = await log(n3, quiet);
  assert.ok(quietly.message.result, quietly.text);
  assert.doesNotMatch(quietly.text, /notifications\/message/);
  assert.match((await log(n3, loud)).text, /notifications\/message/);
  const told = await stream(n3, quiet, path); // without having subscribed here
  await waitFor('told of an update', async () => {
    await modern(n2, 'tools/call', {name: 'old__test_touch_resource', arguments: {uri}});
    return told.messages.filter(({method, params}) => method === 'notifications/resources/updated' && params.uri === uri).length >= 2;
  }, {every: 200});
  // Whatever it knew of the lists, it knew at another node: it is told to look again.
  assert.ok(told.messages.some(({method}) => method === 'notifications/tools/list_changed'));
  told.close();
  assert.deepEqual((await post(n3, quiet, {id: 6, method: 'resources/unsubscribe', params: {uri}}, path)).message.result, {});
}));
