// Calls a tool with the public SDK as fast as it goes, one call at a time per connection.
// usage: node mcp_sdk.mjs http|sse URL TOOL CONNECTIONS SECONDS
// Prints "REQUESTS/S P50-US P99-US REQUESTS ERRORS", as bench_wrk does.
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {SSEClientTransport} from '@modelcontextprotocol/sdk/client/sse.js';
import {StreamableHTTPClientTransport} from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [transport, address, tool, connections, seconds] = process.argv.slice(2);
const Transport = transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
const times = [];
let errors = 0, endAt = 0;

async function connect() {
  const client = new Client({name: 'bench', version: '1'});
  await client.connect(new Transport(new URL(address)));
  return client;
}

async function call(client) {
  const begin = performance.now();
  const {content} = await client.callTool({name: tool, arguments: {text: 'hello'}});
  times.push(performance.now() - begin);
  if (content?.[0]?.text !== 'hello') errors++;
}

async function run(client) {
  while (performance.now() < endAt) await call(client).catch(() => { errors++; });
}

const clients = await Promise.all(Array.from({length: Number(connections)}, connect));
for (const client of clients) for (let i = 0; i < 20; i++) await call(client); // both sides are warm then
times.length = errors = 0;
const begin = performance.now();
endAt = begin + Number(seconds) * 1000;
await Promise.all(clients.map(run));
const took = (performance.now() - begin) / 1000;
times.sort((a, b) => a - b);
const at = part => Math.round(times[Math.floor((times.length - 1) * part)] * 1000) || 0;
console.log(Math.round(times.length / took), at(0.5), at(0.99), times.length, errors);
process.exit(0);
