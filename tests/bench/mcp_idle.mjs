// Clients that open a stream and only listen, as raw sockets: nothing of a client's library is measured with it.
// usage: node mcp_idle.mjs fresh|kept|legacy URL COUNT
// Prints "ready" when all are listening and "told" when all heard that the tools have changed; then goes on.
import net from 'node:net';

const [kind, address, count] = process.argv.slice(2);
const url = new URL(address);
const meta = {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}};

function post(method, params, headers = []) {
  const isModern = params?._meta !== undefined;
  const isNotice = method.startsWith('notifications/');
  const body = JSON.stringify({jsonrpc: '2.0', ...(isNotice ? {} : {id: 1}), method, params});
  const own = isModern ? ['MCP-Protocol-Version: 2026-07-28', `Mcp-Method: ${method}`] : headers;
  return [`POST ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, 'Content-Type: application/json',
    'Accept: application/json, text/event-stream', ...own, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
}

function connect() {
  const socket = net.connect(Number(url.port), url.hostname);
  socket.got = '';
  socket.on('data', bytes => { socket.got += bytes; });
  socket.on('close', () => { console.error('a stream ended'); process.exit(1); });
  return socket;
}

// Resolves when [text] has come; what came before is forgotten.
function hear(socket, text) {
  return new Promise(done => {
    const look = () => {
      if (!text.test(socket.got)) return;
      const got = socket.got;
      socket.got = '';
      socket.off('data', look);
      done(got);
    };
    socket.on('data', look);
    look();
  });
}

const listen = post('subscriptions/listen', {notifications: {toolsListChanged: true}, _meta: meta});

async function listener() {
  const socket = connect();
  if (kind === 'legacy') {
    const hello = {protocolVersion: '2025-06-18', capabilities: {}, clientInfo: {name: 'idle', version: '1'}};
    socket.write(post('initialize', hello));
    const session = /^mcp-session-id: *(\S+)/im.exec(await hear(socket, /"protocolVersion"/))[1];
    const headers = [`Mcp-Session-Id: ${session}`, 'MCP-Protocol-Version: 2025-06-18'];
    socket.write(post('notifications/initialized', undefined, headers));
    await hear(socket, /^HTTP\/1.1 202/);
    socket.write([`GET ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, 'Accept: text/event-stream', ...headers, '', ''].join('\r\n'));
    await hear(socket, /event-stream/);
    return socket;
  }
  if (kind === 'kept') {
    for (let i = 0; i < 3; i++) {
      socket.write(post('server/discover', {_meta: meta}));
      await hear(socket, /"supportedVersions"/);
    }
  }
  socket.write(listen);
  await hear(socket, /acknowledged/);
  return socket;
}

const sockets = [];
while (sockets.length < Number(count))
  sockets.push(...await Promise.all(Array.from({length: Math.min(50, count - sockets.length)}, listener)));
console.log('ready');
await Promise.all(sockets.map(socket => hear(socket, /tools\/list_changed/)));
console.log('told');
