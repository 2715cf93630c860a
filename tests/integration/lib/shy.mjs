// An MCP server of both eras that shows some of what it has only to clients that can be asked, as small as possible.
// usage: node shy.mjs DIARY [modern|legacy] [WHAT]: WHAT breaks when somebody declares capabilities: exit, hang, refuse
// Its tool "change" renames one that only some see, and says so.
import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs';
import {createInterface} from 'node:readline';

const [diary, era = 'both', breaks] = process.argv.slice(2);
const edition = () => (existsSync(`${diary}.edition`) ? readFileSync(`${diary}.edition`, 'utf8') : '1');
const say = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const NS = 'io.modelcontextprotocol/';
const hints = {resultType: 'complete', ttlMs: 0, cacheScope: 'private'};
let session = null, listen = null; // of a legacy client: what it declared; a modern one's request

const has = {
  asks: c => c.elicitation !== undefined,
  visits: c => c.elicitation?.url !== undefined,
  samples: c => c.sampling !== undefined,
  both: c => c.sampling !== undefined && c.elicitation !== undefined,
  roots: c => c.roots !== undefined,
  alone: c => c.roots === undefined,
};
const shown = (items, capabilities) => items.filter(([need]) => !need || has[need](capabilities)).map(([, item]) => item);
const tool = (name, more = {}) => ({name, inputSchema: {type: 'object'}, ...more});
const lists = {
  'tools/list': ['tools', () => [['samples', tool('first')], [null, tool('echo')], ['asks', tool(`ask-${edition()}`)], ['visits', tool('visit')],
    ['both', tool('both')], [null, tool('change')], ['alone', tool('alone')], ['roots', tool('files')]]],
  'prompts/list': ['prompts', () => [[null, {name: 'open'}], ['samples', {name: 'shy'}]]],
  'resources/list': ['resources', () => [['roots', {uri: 'shy://shy', name: 'shy'}], [null, {uri: 'shy://open', name: 'open'}]]],
  'resources/templates/list': ['resourceTemplates', () => [['asks', {uriTemplate: 'shy://ask/{a}', name: 'ask'}]]],
};
const capabilities = {tools: {listChanged: true}, prompts: {listChanged: true}, resources: {listChanged: true}};

function broken(id) {
  if (breaks === 'exit') process.exit(3);
  if (breaks === 'refuse') say({id, error: {code: -32603, message: 'I would rather not'}});
  return true;
}

function answer(id, method, params) {
  const isModern = params?._meta?.[`${NS}protocolVersion`] !== undefined;
  const declared = isModern ? params._meta[`${NS}clientCapabilities`] : session ?? {};
  appendFileSync(diary, `${process.pid} ${method} ${JSON.stringify(declared)}\n`);
  if (breaks && Object.keys(declared).length > 0 && broken(id)) return;
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

createInterface({input: process.stdin}).on('line', line => {
  const {id, method, params} = JSON.parse(line);
  if (method === 'notifications/initialized' && session?.roots) say({id: 'r', method: 'roots/list'});
  if (id !== undefined && method) answer(id, method, params);
});
