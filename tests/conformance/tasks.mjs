// Tasks of both eras against the fixture directly, and through two nodes, where it is behind a URL and on stdio: the client must
// not be able to tell them apart. The official suite does not judge tasks; these checks are ours.
// usage: node tasks.mjs (BIN_UNDER_TEST: the programs' folder)
import assert from 'node:assert/strict';
import {withMesh, waitFor, modern, nodejs, url} from '../integration/lib/mesh.mjs';
import {fixture, main} from './fixture/start.mjs';

const extension = 'io.modelcontextprotocol/tasks', related = 'io.modelcontextprotocol/related-task';
const json = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};

// The messages of a response, as they come.
async function* messagesOf(response) {
  if ((response.headers.get('content-type') ?? '').startsWith('application/json')) return void (yield JSON.parse(await response.text()));
  let rest = '';
  for await (const bytes of response.body)
    for (rest += Buffer.from(bytes).toString(); rest.includes('\n\n'); rest = rest.slice(rest.indexOf('\n\n') + 2))
      for (const line of rest.slice(0, rest.indexOf('\n\n')).split('\n')) if (line.startsWith('data: {')) yield JSON.parse(line.slice(6));
}

// What was seen, with ids as the order in which they came up: two servers give different ones.
class Transcript {
  ids = [];
  lines = [];
  note(what, value) {
    let line = JSON.stringify(value);
    this.ids.forEach((id, i) => { line = line.replaceAll(JSON.stringify(id), `"task ${i + 1}"`); });
    this.lines.push(`${what} ${line}`);
  }
  // It must be one that was begun: [given] has its id.
  task(given, said) {
    assert.equal(typeof given?.taskId, 'string', JSON.stringify(said));
    this.ids.push(given.taskId);
    return given.taskId;
  }
}

const often = {every: 50, quiet: true};

async function legacy(target) {
  const seen = new Transcript(), told = [], reported = [], abort = new AbortController();
  let session, last = 0;
  const post = message => fetch(target, {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', ...message}),
    headers: {...json, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
  const ask = async (method, params, answer) => {
    const response = await post({id: ++last, method, params});
    session ??= response.headers.get('mcp-session-id');
    for await (const message of messagesOf(response)) {
      if (message.method && message.id !== undefined) await post({id: message.id, result: answer(message)});
      if (message.method === undefined) return message;
    }
  };
  const begin = async (given, more = {}) => {
    const {result, error} = await ask('tools/call', {name: 'test_task', arguments: given, task: {ttl: 60000}, ...more});
    const taskId = seen.task(result?.task, result ?? error);
    seen.note('begun', result);
    return taskId;
  };
  const until = (taskId, status) => waitFor(`${status}`, async () => {
    const {result} = await ask('tasks/get', {taskId});
    return result?.status === status && (seen.note('get', result), true);
  }, often);

  const {result: {capabilities}} = await ask('initialize', {protocolVersion: '2025-11-25', capabilities: {elicitation: {}}, clientInfo: {name: 'c', version: '1'}});
  await post({method: 'notifications/initialized'});
  seen.note('offered', capabilities.tasks);
  const stream = await fetch(target, {signal: abort.signal, headers: {accept: 'text/event-stream', 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'}});
  (async () => {
    for await (const {method, params} of messagesOf(stream)) {
      if (method === 'notifications/tasks/status') told.push(params);
      if (method === 'notifications/progress') reported.push(params);
    }
  })().catch(() => {});

  seen.note('not as a task', (await ask('tools/call', {name: 'test_task', arguments: {}})).result);
  const plain = await begin({ms: 1000}, {_meta: {progressToken: 'p'}});
  await waitFor('its end is told', () => told.some(({taskId}) => taskId === plain), often);
  seen.note('progress', reported);
  seen.note('told', told.find(({taskId}) => taskId === plain));
  await until(plain, 'completed');
  for (let i = 0; i < 2; i++) seen.note('result', (await ask('tasks/result', {taskId: plain})).result);

  const asking = await begin({ms: 100, ask: true});
  await until(asking, 'input_required');
  seen.note('answered', (await ask('tasks/result', {taskId: asking}, ({method, params}) => {
    seen.note('asked', [method, params.message, params._meta[related]]);
    return {action: 'accept', content: {name: 'Ann'}};
  })).result);

  const endless = await begin({ms: 600_000});
  seen.note('cancelled', (await ask('tasks/cancel', {taskId: endless})).result);
  seen.note('cancelled again', (await ask('tasks/cancel', {taskId: endless})).error.code);
  seen.note('no result', (await ask('tasks/result', {taskId: endless})).error.code);
  seen.note('unknown', (await ask('tasks/get', {taskId: 'nobody\'s'})).error.code);
  const listed = [];
  for (let params = {}; params;) { // pages differ in size
    const {result: {tasks, nextCursor}} = await ask('tasks/list', params);
    listed.push(...tasks);
    params = nextCursor === undefined ? undefined : {cursor: nextCursor};
  }
  seen.note('listed', listed);
  seen.note('no cursor', (await ask('tasks/list', {cursor: 'nobody\'s'})).error.code);
  abort.abort();
  return seen.lines;
}

// [targets]: each request goes to the next one.
async function modernEra(targets) {
  const seen = new Transcript();
  let last = 0;
  const post = (method, params, knows = true, signal) => fetch(targets[last % targets.length], {method: 'POST', signal,
    headers: {...json, 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(params.name ?? params.taskId ? {'mcp-name': params.name ?? params.taskId} : {})},
    body: JSON.stringify({jsonrpc: '2.0', id: ++last, method, params: {...params, _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': knows ? {elicitation: {}, extensions: {[extension]: {}}} : {}}}})});
  const ask = async (...what) => { for await (const message of messagesOf(await post(...what))) if (message.method === undefined) return message; };
  const begin = async given => {
    const {result, error} = await ask('tools/call', {name: 'test_task', arguments: given});
    const taskId = seen.task(result, result ?? error);
    seen.note('begun', result);
    return taskId;
  };
  const until = (taskId, status) => waitFor(`${status}`, async () => {
    const {result} = await ask('tasks/get', {taskId});
    return result?.status === status && (seen.note('get', result), true);
  }, often);

  seen.note('offered', (await ask('server/discover', {})).result.capabilities.extensions);
  seen.note('not as a task', (await ask('tools/call', {name: 'test_task', arguments: {}}, false)).result.content);
  const plain = await begin({ms: 5000}), abort = new AbortController(), heard = [];
  const listen = await post('subscriptions/listen', {notifications: {taskIds: [plain, 'nobody\'s']}}, true, abort.signal);
  const id = last;
  (async () => { for await (const message of messagesOf(listen)) heard.push(message); })().catch(() => {});
  await waitFor('its end is told', () => heard.length > 1, often);
  abort.abort();
  for (const {method, params} of heard) {
    assert.equal(params._meta['io.modelcontextprotocol/subscriptionId'], id);
    seen.note(method, {...params, _meta: undefined});
  }
  await until(plain, 'completed');

  const asking = await begin({ms: 100, ask: true});
  await until(asking, 'input_required');
  seen.note('answered', (await ask('tasks/update', {taskId: asking, inputResponses: {name: {action: 'accept', content: {name: 'Ann'}}}})).result);
  await until(asking, 'completed');

  const endless = await begin({ms: 600_000});
  seen.note('cancelled', (await ask('tasks/cancel', {taskId: endless})).result);
  await until(endless, 'cancelled');
  seen.note('unknown', (await ask('tasks/get', {taskId: 'nobody\'s'})).error.code);
  return seen.lines;
}

const compare = (era, direct, through) => {
  for (const line of direct.keys()) assert.equal(through[line], direct[line], `${era}, line ${line + 1}`);
  assert.equal(through.length, direct.length);
  console.log(`# ${era}: ${direct.length} checks, the same through two nodes`);
};

// A server that was found to be modern has no tasks of 2025-11-25 for legacy clients, and does not promise any.
async function offersNone(target) {
  const post = (message, more = {}) => fetch(target, {method: 'POST', headers: {...json, ...more}, body: JSON.stringify({jsonrpc: '2.0', id: 1, ...message})});
  const response = await post({method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'c', version: '1'}}});
  const [{result}] = await Array.fromAsync(messagesOf(response));
  assert.ok(result.capabilities.tools);
  assert.equal(result.capabilities.tasks, undefined);
  const call = await post({method: 'tools/call', params: {name: 'test_task', arguments: {}, task: {ttl: 60000}}},
    {'mcp-session-id': response.headers.get('mcp-session-id'), 'mcp-protocol-version': '2025-11-25'});
  const [{error}] = await Array.fromAsync(messagesOf(call));
  assert.equal(error?.code, -32601);
}

const pipe = era => ({command: nodejs, args: ['--no-warnings', main, '--stdio'], era});

await withMesh('task-eras', async mesh => {
  const direct = await fixture(mesh);
  const servers = {old: {url: direct, era: 'legacy'}, new: {url: direct, era: 'modern'}, oldpipe: pipe('legacy'), newpipe: pipe('modern'),
    both: {url: direct}, bothpipe: pipe('auto')};
  const [n1, n2] = await mesh.cluster(2, {n2: servers});
  await waitFor('n1 lists all', async () => {
    const names = (await modern(n1, 'tools/list')).message.result.tools.map(({name}) => name);
    return Object.keys(servers).every(name => names.includes(`${name}__test_task`));
  });
  const at = (node, name) => url(node, `/mcp/servers/${name}`);
  const [legacyDirect, ...legacyThrough] = await Promise.all([direct, at(n1, 'old'), at(n1, 'oldpipe')].map(legacy));
  assert.match(legacyDirect.join('\n'), /answered .*done for Ann/);
  compare('2025-11-25', legacyDirect, legacyThrough[0]);
  compare('2025-11-25 on stdio', legacyDirect, legacyThrough[1]);
  const atBoth = name => [at(n1, name), at(n2, name)];
  const [modernDirect, ...modernThrough] = await Promise.all([[direct], ...['new', 'newpipe', 'both', 'bothpipe'].map(atBoth)].map(modernEra));
  assert.match(modernDirect.join('\n'), /get .*done for Ann/);
  compare('2026-07-28', modernDirect, modernThrough[0]);
  compare('2026-07-28 on stdio', modernDirect, modernThrough[1]);
  compare('2026-07-28, found out', modernDirect, modernThrough[2]);
  compare('2026-07-28, found out on stdio', modernDirect, modernThrough[3]);
  for (const name of ['both', 'bothpipe']) await offersNone(at(n1, name));
})();
