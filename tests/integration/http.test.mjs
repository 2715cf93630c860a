// The HTTP edge by hand: who is let in, what is refused and how; bad input disturbs nothing else.
import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import {join} from 'node:path';
import {writeFileSync} from 'node:fs';
import {withMesh, modern, url, run, bin} from './lib/mesh.mjs';

const discover = JSON.stringify({jsonrpc: '2.0', id: 1, method: 'server/discover', params: {
  _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}});
const good = {'content-type': 'application/json', accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2026-07-28', 'mcp-method': 'server/discover'};

// A request with any header, which fetch() would not let us send.
function raw(node, {method = 'POST', path = '/mcp', headers = good, body = discover} = {}) {
  const [host, port] = node.http.split(':');
  return new Promise((done, fail) => {
    const request = http.request({host, port, method, path, headers: {...headers, ...(body ? {'content-length': Buffer.byteLength(body)} : {})}}, response => {
      let text = '';
      response.on('data', bytes => { text += bytes; });
      response.on('end', () => done({status: response.statusCode, headers: response.headers, text}));
    });
    request.on('error', fail);
    if (body) request.write(body);
    request.end();
  });
}

test('pages and rebinding names are refused on every path', withMesh('origin', async mesh => {
  const n1 = await mesh.found('n1');
  for (const path of ['/mcp', '/mcp/servers/x', '/v1/status', '/', '/metrics']) {
    assert.equal((await raw(n1, {path, headers: {...good, origin: 'https://evil.example'}})).status, 403, path);
    assert.equal((await raw(n1, {path, headers: {...good, host: 'evil.example:7080'}})).status, 403, path);
  }
  assert.equal((await raw(n1)).status, 200);
  assert.equal((await raw(n1, {headers: {...good, origin: `http://${n1.http}`}})).status, 200);
  assert.equal((await raw(n1, {method: 'GET', path: '/healthz', body: '', headers: {host: 'any'}})).status, 200);
  assert.equal((await raw(n1, {method: 'GET', path: '/v1/status', body: '', headers: {}})).status, 401);
}));

test('what is malformed gets the right status and a JSON-RPC error', withMesh('malformed', async mesh => {
  const n1 = await mesh.found('n1');
  const table = [
    [{headers: {...good, 'content-type': 'text/plain'}}, 415],
    [{headers: {...good, accept: 'text/html'}}, 406],
    [{body: '{"jsonrpc":'}, 400, -32700],
    [{body: '[]'}, 400],
    [{body: '[[['.repeat(20000)}, 400],
    [{body: discover.replace('2026-07-28', '2099-01-01'), headers: {...good, 'mcp-protocol-version': '2099-01-01'}}, 400, -32022],
    [{headers: {...good, 'mcp-method': 'tools/list'}}, 400, -32020],
    [{headers: Object.fromEntries(Object.entries(good).filter(([name]) => name !== 'mcp-method'))}, 400, -32020],
    [{body: discover.replace('server/discover', 'no/such'), headers: {...good, 'mcp-method': 'no/such'}}, 404, -32601],
    [{body: discover.replace('server/discover', 'initialize'), headers: {...good, 'mcp-method': 'initialize'}}, 404, -32601],
    [{method: 'PUT'}, 405],
    [{path: '/mcp/servers/none'}, 404],
    [{path: '/mcpx'}, 404],
  ];
  for (const [request, status, code] of table) {
    const answer = await raw(n1, request);
    assert.equal(answer.status, status, `${JSON.stringify(request).slice(0, 200)} -> ${answer.status} ${answer.text.slice(0, 200)}`);
    if (code) assert.equal(JSON.parse(answer.text).error.code, code, answer.text);
  }
  const big = await raw(n1, {body: `{"x":"${'a'.repeat(17 << 20)}"}`}).catch(error => ({status: 413, error}));
  assert.equal(big.status, 413);
  assert.equal((await raw(n1)).status, 200);
}));

test('bearer tokens and names: needed beyond loopback, checked on /mcp', withMesh('bearer', async mesh => {
  const secret = 'x'.repeat(20) + 'y'.repeat(20);
  writeFileSync(join(mesh.dir, 'secret'), `${secret}\n`, {mode: 0o600});
  writeFileSync(join(mesh.dir, 'node.yaml'), `http:\n  hosts: ["mesh.example"]\n  auth:\n    bearer: ["\${file:${join(mesh.dir, 'secret')}}"]\n`);
  const n1 = await mesh.found('n1', {args: ['--config', join(mesh.dir, 'node.yaml')]});
  const none = await raw(n1);
  assert.equal(none.status, 401);
  assert.match(none.headers['www-authenticate'], /^Bearer/);
  assert.equal((await raw(n1, {headers: {...good, authorization: 'Bearer wrong'}})).status, 401);
  assert.equal((await raw(n1, {headers: {...good, authorization: `Bearer ${secret}`}})).status, 200);
  // By its configured name too, at any port; other names stay foreign, with the right secret as well.
  const as = async host => (await raw(n1, {headers: {...good, host, authorization: `Bearer ${secret}`}})).status;
  assert.deepEqual([await as('mesh.example'), await as('mesh.example:443'), await as('evil.mesh.example'), await as('evil.example')], [200, 200, 403, 403]);
  assert.ok(!n1.log.includes(secret));
  const open = await run(join(bin, 'meshnode'), ['--data', join(mesh.dir, 'open'), '--listen', '127.0.0.1:0', '--http', '0.0.0.0:0']);
  assert.equal(open.code, 78, open.stderr);
}));

test('legacy sessions: id, version, DELETE, unknown, GET stream', withMesh('sessions', async mesh => {
  const n1 = await mesh.found('n1');
  const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
  for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
    const init = await raw(n1, {headers, body: JSON.stringify({jsonrpc: '2.0', id: 'a', method: 'initialize',
      params: {protocolVersion: version, capabilities: {}, clientInfo: {name: 't', version: '0'}}})});
    assert.equal(init.status, 200);
    const session = init.headers['mcp-session-id'];
    assert.match(session, /^[\x21-\x7e]{16,}$/);
    assert.match(init.text, new RegExp(`"protocolVersion":"${version}"`));
    const with_session = {...headers, 'mcp-session-id': session, 'mcp-protocol-version': version};
    assert.equal((await raw(n1, {headers: with_session, body: '{"jsonrpc":"2.0","method":"notifications/initialized"}'})).status, 202);
    const list = await raw(n1, {headers: with_session, body: '{"jsonrpc":"2.0","id":7,"method":"tools/list"}'});
    assert.match(list.text, /"id":7\b/);
    const ping = await raw(n1, {headers: with_session, body: '{"jsonrpc":"2.0","id":"7","method":"ping"}'});
    assert.match(ping.text, /"id":"7"/);
    assert.equal((await raw(n1, {headers, body: '{"jsonrpc":"2.0","id":7,"method":"tools/list"}'})).status, 400);
    assert.equal((await raw(n1, {headers: {...with_session, 'mcp-session-id': 'nope'}, body: '{"jsonrpc":"2.0","id":7,"method":"tools/list"}'})).status, 404);
    assert.ok([200, 204].includes((await raw(n1, {method: 'DELETE', headers: with_session, body: ''})).status));
    assert.equal((await raw(n1, {headers: with_session, body: '{"jsonrpc":"2.0","id":7,"method":"tools/list"}'})).status, 404);
  }
  const newer = await raw(n1, {headers, body: JSON.stringify({jsonrpc: '2.0', id: 1, method: 'initialize',
    params: {protocolVersion: '2026-07-28', capabilities: {}, clientInfo: {name: 't', version: '0'}}})});
  assert.match(newer.text, /"protocolVersion":"2025-11-25"/);
}));
