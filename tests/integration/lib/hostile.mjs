// MCP servers that get everything wrong, each at a path of its own; and the same on stdio: node hostile.mjs MODE.
import http from 'node:http';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';

const tool = (name, more = {}) => ({name, inputSchema: {type: 'object'}, ...more});
const text = text => ({content: [{type: 'text', text}]});
const many = count => Array.from({length: count}, (_, i) => tool(`tool_${i}`));
const nested = depth => '['.repeat(depth) + ']'.repeat(depth);

// Legacy answers as an honest server gives them; list and call may be replaced.
function honest({list = () => ({tools: [tool('echo', {annotations: {readOnlyHint: true}}), tool('write')]}),
  call = params => text(`echo ${params.arguments?.text ?? ''}`)} = {}) {
  return message => {
    if (message.method === 'initialize')
      return {protocolVersion: message.params.protocolVersion, capabilities: {tools: {listChanged: true}}, serverInfo: {name: 'hostile', version: '0'}};
    if (message.method === 'tools/list') return list(message.params);
    if (message.method === 'tools/call') return call(message.params);
    return null;
  };
}

const reply = (message, result) => JSON.stringify(result
  ? {jsonrpc: '2.0', id: message.id, result}
  : {jsonrpc: '2.0', id: message.id, error: {code: -32601, message: 'method not found'}});

function sendJson(response, body) {
  response.writeHead(200, {'content-type': 'application/json'});
  response.end(body);
}

// As a stream with a BOM, CR line ends, comments, many data lines, and no two bytes in one piece.
async function sendOdd(response, body) {
  response.writeHead(200, {'content-type': 'text/event-stream; charset=utf-8'});
  response.socket.setNoDelay();
  const lines = `\uFEFF: hello\r\revent: message\rdata: ${body.replace(/,"/, ',\rdata: "')}\rid: 7\r\r`;
  for (const byte of Buffer.from(lines)) {
    response.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  response.end();
}

function stream(response) {
  response.writeHead(200, {'content-type': 'text/event-stream'});
  response.flushHeaders();
  return response;
}

const changed = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';

// Every kind: {answer(message), post(request, response, message), get(response)}, all optional.
export const kinds = {
  plain: {answer: honest()},
  odd: {answer: honest({call: () => text('ünïcödé 🎉')}), send: sendOdd},
  repeating: {answer: honest({list: () => ({tools: [tool('echo')], nextCursor: 'again'})})},
  endless: {answer: (page => honest({list: () => ({tools: page++ ? [] : [tool('echo')], nextCursor: `page ${page}`})}))(0)},
  many: {answer: honest({list: () => ({tools: many(5000)})})},
  toomany: {answer: honest({list: () => ({tools: many(5001)})})},
  badlist: {answer: honest({list: () => ({tools: [tool('echo'), tool('echo'), tool(''), tool('x'.repeat(300)), 7, null, {}, tool('nul\0')]})})},
  image: {answer: honest({call: () => ({content: [{type: 'image', mimeType: 'image/png', data: 'A'.repeat(20 << 20)}]})})},
  toobig: {answer: honest({call: () => text('A'.repeat(40 << 20))})},
  deep: {answer: honest(), post: (response, message) => message.method === 'tools/call' &&
    sendJson(response, `{"jsonrpc":"2.0","id":${message.id},"result":{"content":[],"structuredContent":{"x":${nested(200)}}}}`)},
  refusing: {post: response => { response.writeHead(401, {'www-authenticate': 'Bearer'}).end(); return true; }},
  html: {post: response => { response.writeHead(200, {'content-type': 'text/html'}).end('<html>hello</html>'); return true; }},
  silent: {post: () => true},
  hanging: {answer: honest(), post: (response, message) => message.method === 'tools/call'},
  resetting: {answer: honest(), post: (response, message) => message.method === 'tools/call' && response.socket.resetAndDestroy()},
  flooding: {answer: honest(), post: (response, message) => {
    if (message.method !== 'tools/call') return false;
    stream(response).write('data: "');
    const piece = 'x'.repeat(1 << 16), more = () => { while (!response.destroyed && response.write(piece)); };
    response.on('drain', more);
    more();
    return true;
  }},
  liar: {answer: honest(), post: (response, message) => message.method === 'tools/call' &&
    sendJson(response, '{"jsonrpc":"2.0","id":424242,"result":{"content":[]}}')},
  flapping: {answer: (turn => honest({list: () => ({tools: [tool('echo'), tool(`now_${turn++}`)]})}))(0), get: every(50)},
  equal: {answer: honest(), get: every(5)},
};

function every(ms) {
  return response => {
    const timer = setInterval(() => response.write(`data: ${changed}\n\n`), ms);
    response.on('close', () => clearInterval(timer));
  };
}

async function serve(kind, request, response) {
  if (request.method === 'GET' && kind.get) return kind.get(stream(response));
  if (request.method !== 'POST') return response.writeHead(405, {allow: 'POST'}).end();
  const parts = [];
  for await (const part of request) parts.push(part);
  const message = JSON.parse(Buffer.concat(parts));
  if (message.method === 'tools/call') kind.calls = (kind.calls ?? 0) + 1;
  kind.params = message.params;
  if (kind.post?.(response, message)) return;
  if (message.id === undefined) return response.writeHead(202).end();
  await (kind.send ?? sendJson)(response, reply(message, kind.answer(message)));
}

// All kinds on one port: {kinds, port, url(kind), close()}.
export async function hostile(port = 0, served = kinds) {
  const server = http.createServer((request, response) => {
    response.on('error', () => {});
    serve(served[request.url.slice(1)], request, response).catch(() => response.destroy());
  });
  await new Promise(done => server.listen(port, '127.0.0.1', done));
  server.unref(); // a test that fails shall end all the same
  return {
    kinds: served,
    port: server.address().port,
    url: kind => `http://127.0.0.1:${server.address().port}/${kind}`,
    close: () => new Promise(done => { server.close(done); server.closeAllConnections(); }),
  };
}

const say = line => process.stdout.write(line);

// On stdio: what is done before, at, or instead of the answers.
export const modes = {
  exits(message) { if (message.method === 'server/discover') process.exit(1); },
  stubborn() { process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); },
  mute() { return true; },
  crlf(message, body) { say(`\r\n\r\n${body}\r\n`); return true; },
  garbage(message, body) { say(`Server running!\n\0\xff\n{"jsonrpc":\n[1,2]\n${'#'.repeat(100_000)}\n${nested(300)}\n${body}\n`); return true; },
  endless(message) {
    if (message.method !== 'tools/call') return false;
    const piece = 'x'.repeat(1 << 16), more = () => { while (process.stdout.write(piece)); };
    process.stdout.on('drain', more);
    more();
    return true;
  },
  dies(message) { if (message.method === 'tools/call') process.exit(3); },
  asks(message, body) { // a server that asks its client all the time
    say(`${JSON.stringify({jsonrpc: '2.0', id: 'q', method: 'sampling/createMessage', params: {}})}\n`.repeat(100) + body + '\n');
    return true;
  },
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mode = modes[process.argv[2]], answer = honest();
  process.on('uncaughtException', () => process.exit(1));
  if (process.argv[2] === 'stubborn') mode();
  createInterface({input: process.stdin}).on('line', line => {
    const message = JSON.parse(line);
    if (message.method === undefined) return;
    const body = message.id === undefined ? '' : reply(message, answer(message));
    if (!mode(message, body) && body) say(`${body}\n`);
  });
}
