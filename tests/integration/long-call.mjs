// A call of half an hour through client, entry node, serving node and server, with progress all the way. Run by hand,
// because it takes as long as it says:  node long-call.mjs [seconds, 1800] [seconds between signs of progress, 60]
//
// Three clients at once at n1, the server at n2: a modern one; a legacy one that stays; a legacy one whose socket breaks in
// the middle and that takes its stream up again by the id of the last event it had. Prints what each of them saw.
import {join} from 'node:path';
import {Mesh, waitFor, modern, nodejs, url, sleep} from './lib/mesh.mjs';

const seconds = Number(process.argv[2] ?? 1800), every = Number(process.argv[3] ?? 60);
const count = Math.round(seconds / every);
const params = {name: 'work__steps', arguments: {count, every_ms: every * 1000}, _meta: {progressToken: 'p'}};
const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};

// Reads a stream of events to its end, or until stop(seen) says so; [seen] is what came.
async function read(response, seen, stop = () => false) {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of response.body) {
    rest += decoder.decode(bytes, {stream: true});
    for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
      const lines = rest.slice(0, end).split('\n');
      if (lines.every(line => line.startsWith(':'))) seen.comments++;
      for (const line of lines) {
        if (line.startsWith('id:')) seen.lastId = line.slice(3).trim();
        if (!line.startsWith('data: ') || line.length <= 6) continue; // a stream may begin with an id alone
        const message = JSON.parse(line.slice(6));
        if (message.method === 'notifications/progress') seen.progress.push(message.params.progress);
        else if (message.id !== undefined) seen.answer = message;
      }
    }
    if (stop(seen)) return;
  }
}

const nothing = () => ({progress: [], comments: 0, lastId: undefined, answer: undefined});

async function stateless(node) {
  const seen = nothing();
  const meta = {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}, ...params._meta};
  await read(await fetch(url(node), {method: 'POST', headers: {...headers, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': params.name},
    body: JSON.stringify({jsonrpc: '2.0', id: 1, method: 'tools/call', params: {...params, _meta: meta}})}), seen);
  return seen;
}

async function legacy(node, isBroken) {
  const seen = nothing(), abort = new AbortController();
  const post = (message, more = {}, signal) => fetch(url(node), {method: 'POST', headers: {...headers, ...more}, signal, body: JSON.stringify({jsonrpc: '2.0', ...message})});
  const session = (await post({id: 0, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'long', version: '1'}}})).headers.get('mcp-session-id');
  const mine = {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'};
  await read(await post({id: 1, method: 'tools/call', params}, mine, abort.signal), seen, ({progress}) => isBroken && progress.length >= count / 3);
  if (!isBroken) return seen;
  abort.abort();
  seen.brokenAfter = seen.progress.length;
  await sleep(every * 2500); // it misses two or three
  await read(await fetch(url(node), {headers: {...headers, accept: 'text/event-stream', ...mine, 'last-event-id': seen.lastId}}), seen);
  return seen;
}

const mesh = new Mesh('long');
let isGood = true;
try {
  const [n1] = await mesh.cluster(2, {n2: {work: {command: nodejs, args: [join(import.meta.dirname, 'lib', 'scripted.mjs'), join(mesh.dir, 'diary')], era: 'modern'}}});
  await waitFor('n1 lists the tool', async () => (await modern(n1, 'tools/list')).message.result.tools.some(tool => tool.name === 'work__steps'));
  const settled = work => work.catch(error => ({...nothing(), error: `${error} ${error.cause ?? ''}`}));
  const begin = Date.now();
  const clients = {modern: stateless(n1), legacy: legacy(n1, false), 'legacy, broken and taken up again': legacy(n1, true)};
  for (const [name, work] of Object.entries(clients).map(([name, work]) => [name, settled(work)])) {
    const seen = await work;
    const whole = seen.progress.length === count && seen.progress.every((value, i) => value === i + 1);
    isGood &&= whole && seen.answer?.result?.content[0].text === 'all steps';
    console.log(`${new Date().toISOString()} ${name}: ${seen.progress.length} of ${count} signs of progress${whole ? ', each once, in order' : ''}; ` +
      `${seen.comments} comments; ${seen.brokenAfter ? `broken after ${seen.brokenAfter}; ` : ''}${seen.error ?? JSON.stringify(seen.answer?.result ?? seen.answer?.error)}; after ${Math.round((Date.now() - begin) / 1000)} s`);
  }
} finally {
  if (!isGood) console.log(mesh.logs());
  await mesh.stop();
}
console.log(isGood ? `a call of ${seconds} s: all is well` : 'FAILED');
process.exitCode = isGood ? 0 : 1;
