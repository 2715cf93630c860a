// A legacy session outlives its entry node: the client goes on at another one with the same id.
import test from 'node:test';
import assert from 'node:assert/strict';
import {withMesh, waitFor, nodejs, everything, modern, url} from './lib/mesh.mjs';

const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};

async function post(node, session, message, path = '/mcp') {
  const response = await fetch(url(node, path), {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', ...message}),
    headers: {...headers, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
  const text = await response.text();
  const json = text.startsWith('{') ? text : text.split('\n').filter(line => line.startsWith('data: ')).at(-1)?.slice(6);
  return {status: response.status, session: response.headers.get('mcp-session-id'), message: json ? JSON.parse(json) : undefined};
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
