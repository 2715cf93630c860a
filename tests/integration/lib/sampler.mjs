// An MCP server over stdio, by hand, that asks its client for a picture in the middle of a call, in the era that its argument
// names. {bytes}: so large is what it asks with. What it answers says how large the client's picture is, and how it ends.
import {createInterface} from 'node:readline';

const isModern = process.argv[2] === 'modern';
const say = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const waiting = new Map();
let asked = 0;

const tool = name => ({name, inputSchema: {type: 'object', properties: {bytes: {type: 'integer'}}}});
const hints = {ttlMs: 0, cacheScope: 'private'};
const asking = (bytes = 0) => ({maxTokens: 9, messages: [{role: 'user', content: {type: 'image', mimeType: 'image/png', data: 'A'.repeat(bytes)}}]});
const told = ({content: {data}}) => ({content: [{type: 'text', text: `${data.length} ${data.slice(-4)}`}], ...(isModern && {resultType: 'complete'})});

const answers = {
  initialize: () => ({protocolVersion: '2025-11-25', serverInfo: {name: 'sampler', version: '1'}, capabilities: {tools: {}}}),
  'server/discover': () => isModern && {resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: {tools: {}}, ...hints},
  'tools/list': () => ({tools: [tool('picture'), tool('echo')], ...(isModern && {resultType: 'complete', ...hints})}),
};

// A round of the modern era, or a request of ours.
function picture(id, {arguments: {bytes} = {}, inputResponses, requestState}) {
  if (isModern && inputResponses) return say({id, result: requestState === 'mine' ? told(inputResponses.picture) : {}});
  if (isModern)
    return say({id, result: {resultType: 'input_required', requestState: 'mine',
      inputRequests: {picture: {method: 'sampling/createMessage', params: asking(bytes)}}}});
  waiting.set(++asked, result => say({id, result: told(result)}));
  say({id: asked, method: 'sampling/createMessage', params: asking(bytes)});
}

createInterface({input: process.stdin}).on('line', line => {
  const {id, method, params, result} = JSON.parse(line);
  if (method === undefined) return void waiting.get(id)?.(result);
  if (id === undefined) return undefined;
  if (method === 'tools/call' && params.name === 'picture') return picture(id, params);
  if (method === 'tools/call') return say({id, result: {content: [], ...(isModern && {resultType: 'complete'})}});
  const answer = answers[method]?.();
  return say(answer ? {id, result: answer} : {id, error: {code: -32601, message: 'no'}});
});
