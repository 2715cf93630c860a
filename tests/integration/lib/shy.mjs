// An MCP server of both eras that shows some of what it has only to clients that can be asked, or that declare an
// extension, as small as possible.
// usage: node shy.mjs DIARY [modern|legacy] [WHAT]: WHAT breaks when somebody declares capabilities: exit, hang, refuse;
// or it is `http`, and the server is at a port of loopback that it writes to DIARY.port
// Its tool "change" renames one that only some see, and says so.
import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createInterface} from 'node:readline';

const [diary, era = 'both', what] = process.argv.slice(2);
const isHttp = what === 'http', breaks = isHttp ? undefined : what;
const edition = () => (existsSync(`${diary}.edition`) ? readFileSync(`${diary}.edition`, 'utf8') : '1');
const write = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const NS = 'io.modelcontextprotocol/';
const hints = {resultType: 'complete', ttlMs: 0, cacheScope: 'private'};
let session = null, listen = null; // of a legacy client: what it declared; a modern one's request
const html = c => c.extensions?.[`${NS}ui`]?.mimeTypes?.includes('text/html;profile=mcp-app') === true;

const has = {
  asks: c => c.elicitation !== undefined,
  visits: c => c.elicitation?.url !== undefined,
  samples: c => c.sampling !== undefined,
  both: c => c.sampling !== undefined && c.elicitation !== undefined,
  roots: c => c.roots !== undefined,
  alone: c => c.roots === undefined,
  html, text: c => !html(c),
  htmlAsks: c => html(c) && c.elicitation !== undefined,
  later: c => c.extensions?.[`${NS}tasks`] !== undefined,
  own: c => c.extensions?.['com.example/own'] !== undefined,
  tries: c => c.experimental?.try !== undefined,
};
const shown = (items, capabilities) => items.filter(([need]) => !need || has[need](capabilities)).map(([, item]) => item);
const tool = (name, more = {}) => ({name, inputSchema: {type: 'object'}, ...more});
const lists = {
  'tools/list': ['tools', () => [['samples', tool('first')], [null, tool('echo')], ['asks', tool(`ask-${edition()}`)], ['visits', tool('visit')],
    ['both', tool('both')], [null, tool('change')], ['alone', tool('alone')], ['roots', tool('files')],
    ['text', tool('weather', {description: 'as text'})], ['html', tool('weather', {description: 'as a picture', _meta: {ui: {resourceUri: 'ui://weather'}}})],
    ['html', tool('refresh', {_meta: {ui: {resourceUri: 'ui://weather', visibility: ['app']}}})], ['htmlAsks', tool('form')], ['later', tool('later')],
    ['own', tool('own')], ['tries', tool('try')], [null, tool('last')]]],
  'prompts/list': ['prompts', () => [[null, {name: 'open'}], ['samples', {name: 'shy'}], ['own', {name: 'own'}]]],
  'resources/list': ['resources', () => [['roots', {uri: 'shy://shy', name: 'shy'}], [null, {uri: 'shy://open', name: 'open'}], ['html', {uri: 'ui://weather', name: 'weather'}]]],
  'resources/templates/list': ['resourceTemplates', () => [['asks', {uriTemplate: 'shy://ask/{a}', name: 'ask'}]]],
};
const capabilities = {tools: {listChanged: true}, prompts: {listChanged: true}, resources: {listChanged: true},
  extensions: {'com.example/own': {level: 2}}, experimental: {try: {}}};

function broken(id, say) {
  if (breaks === 'exit') process.exit(3);
  if (breaks === 'refuse') say({id, error: {code: -32603, message: 'I would rather not'}});
  return true;
}

function answer(id, method, params, {say = write, known = session} = {}) {
  const isModern = params?._meta?.[`${NS}protocolVersion`] !== undefined;
  const declared = isModern ? params._meta[`${NS}clientCapabilities`] : known ?? {};
  appendFileSync(diary, `${process.pid} ${method} ${JSON.stringify(declared)}\n`);
  if (breaks && Object.keys(declared).length > 0 && broken(id, say)) return;
  if (method === 'server/discover' && era !== 'legacy')
    return say({id, result: {supportedVersions: ['2026-07-28'], capabilities, _meta: {[`${NS}serverInfo`]: {name: 'shy', version: '1'}}, ...hints}});
  if (method === 'initialize' && era !== 'modern') {
    session = params.capabilities;
    return say({id, result: {protocolVersion: '2025-11-25', capabilities, serverInfo: {name: 'shy', version: '1'}}});
  }
  if (method === 'subscriptions/listen') {
    listen = id;
    return say({method: 'notifications/subscriptions/acknowledged', params: {notifications: {toolsListChanged: true}, _meta: {[`${NS}subscriptionId`]: id}}});
  }
  if (lists[method]) {
    const [member, items] = lists[method];
    return say({id, result: {[member]: shown(items(), declared), ...(isModern ? hints : {})}});
  }
  if (method === 'tools/call') {
    if (params.name === 'change') {
      writeFileSync(`${diary}.edition`, `${Number(edition()) + 1}`);
      say({method: 'notifications/tools/list_changed', ...(listen === null ? {} : {params: {_meta: {[`${NS}subscriptionId`]: listen}}})});
    }
    if (!shown(lists['tools/list'][1](), declared).some(({name}) => name === params.name))
      return say({id, error: {code: -32602, message: `shy has no ${params.name}`}});
    return say({id, result: {content: [{type: 'text', text: params.name}], ...(isModern ? {resultType: 'complete'} : {})}});
  }
  say({id, error: {code: -32601, message: 'no'}});
}

// Each session of legacy clients by what it declared.
const sessions = new Map();
async function exchange(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  if (request.method !== 'POST') return response.writeHead(request.method === 'GET' ? 405 : 200).end();
  const {id, method, params} = JSON.parse(Buffer.concat(parts).toString());
  if (id === undefined) return response.writeHead(202).end();
  const head = {'content-type': 'application/json'};
  if (method === 'initialize') {
    head['mcp-session-id'] = `s${sessions.size}`;
    sessions.set(head['mcp-session-id'], params.capabilities);
  }
  if (method === 'subscriptions/listen') { // it has nothing to tell
    const acknowledged = {jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: {notifications: {}, _meta: {[`${NS}subscriptionId`]: id}}};
    return response.writeHead(200, {'content-type': 'text/event-stream'}).write(`data: ${JSON.stringify(acknowledged)}\n\n`);
  }
  answer(id, method, params, {known: sessions.get(request.headers['mcp-session-id']),
    say: message => { if (message.id === id) response.writeHead(200, head).end(JSON.stringify({jsonrpc: '2.0', ...message})); }});
}

if (isHttp) createServer((request, response) => void exchange(request, response))
  .listen(0, '127.0.0.1', function () { writeFileSync(`${diary}.port`, String(this.address().port)); });
else createInterface({input: process.stdin}).on('line', line => {
  const {id, method, params} = JSON.parse(line);
  if (method === 'notifications/initialized' && session?.roots) write({id: 'r', method: 'roots/list'});
  if (id !== undefined && method) answer(id, method, params);
});
