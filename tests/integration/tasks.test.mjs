// Tasks across nodes; calls that take long, and clients that go away.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join, dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {existsSync, readFileSync} from 'node:fs';
import {withMesh, waitFor, modern, nodejs, url, sleep, ctlJson, everythingHttp} from './lib/mesh.mjs';
import {Proxy} from './lib/proxy.mjs';

const script = join(dirname(fileURLToPath(import.meta.url)), 'lib', 'scripted.mjs');
const known = {'io.modelcontextprotocol/clientCapabilities': {extensions: {'io.modelcontextprotocol/tasks': {}}}};

const threeNodes = (name, body, timeout) => withMesh(name, async mesh => {
  const diary = join(mesh.dir, 'diary');
  const nodes = await mesh.cluster(3, {n2: {work: {command: nodejs, args: [script, diary], era: 'modern', ...(timeout ? {timeout} : {})}}});
  for (const node of nodes)
    await waitFor(`${node.name} lists work__task`, async () =>
      (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === 'work__task'));
  const told = text => existsSync(diary) ? readFileSync(diary, 'utf8').split('\n').filter(line => line.endsWith(` ${text}`)) : [];
  await body(nodes, told);
});

// A listen at [node] hears what becomes of a task that was begun at another one, and is cancelled at a third.
async function listening(node, about, told, begun, third) {
  const {taskId} = begun.message.result, abort = new AbortController(), messages = [];
  const response = await fetch(url(node), {method: 'POST', signal: abort.signal,
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
    body: JSON.stringify({jsonrpc: '2.0', id: 'L', method: 'subscriptions/listen', params: {notifications: {taskIds: [taskId, 'task-1']},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', ...known}}})});
  (async () => {
    let rest = '';
    for await (const bytes of response.body)
      for (rest += Buffer.from(bytes).toString(); rest.includes('\n\n'); rest = rest.slice(rest.indexOf('\n\n') + 2))
        for (const line of rest.slice(0, rest.indexOf('\n\n')).split('\n')) if (line.startsWith('data: ')) messages.push(JSON.parse(line.slice(6)));
  })().catch(() => {});
  await waitFor('the listen is acknowledged', () => messages.length > 0);
  assert.deepEqual(messages[0].params.notifications, {taskIds: [taskId]});
  await waitFor('the server is listened to', () => told('listen task-2').length > 0);
  await about(third, 'tasks/cancel', taskId);
  await waitFor('the listen is told', () => messages.length > 1);
  assert.deepEqual([messages[1].method, messages[1].params.taskId, messages[1].params.status, messages[1].params._meta],
    ['notifications/tasks', taskId, 'cancelled', {'io.modelcontextprotocol/subscriptionId': 'L'}]);
  abort.abort();
}

test('a task begun at one node is asked about and cancelled at others', threeNodes('tasks', async ([n1, n2, n3], told) => {
  assert.deepEqual((await modern(n3, 'server/discover')).message.result.capabilities.extensions, {'io.modelcontextprotocol/tasks': {}});
  const created = (await modern(n1, 'tools/call', {name: 'work__task', arguments: {}, _meta: known})).message.result;
  assert.equal(created.resultType, 'task');
  assert.match(created.taskId, /^[A-Za-z0-9_-]{64,}$/);
  const about = (node, method, taskId) => modern(node, method, {taskId, _meta: known}, {headers: {'mcp-name': taskId}});
  const state = (await about(n3, 'tasks/get', created.taskId)).message.result;
  assert.deepEqual([state.resultType, state.status, state.taskId], ['complete', 'working', created.taskId]);
  assert.equal((await about(n2, 'tasks/cancel', created.taskId)).message.result.resultType, 'complete');
  assert.equal((await about(n1, 'tasks/get', created.taskId)).message.result.status, 'cancelled');
  assert.equal((await about(n3, 'tasks/get', 'task-1')).message.error.code, -32602);
  await listening(n3, about, told, await modern(n1, 'tools/call', {name: 'work__task', arguments: {}, _meta: known}), n2);
  const none = (await modern(n1, 'tools/call', {name: 'work__task', arguments: {}})).message;
  assert.equal(none.error.code, -32603); // a client that knows no tasks gets none
}));

test('a modern client that goes away cancels its call at once, a legacy one does not', threeNodes('away', async ([n1], told) => {
  const abort = new AbortController();
  const lost = modern(n1, 'tools/call', {name: 'work__never', arguments: {}}, {signal: abort.signal}).catch(() => 'gone');
  await waitFor('the server was called', () => told('call never').length === 1);
  // What is called then shows how long the machine takes for anything; a second more is promised.
  const at = text => Number(told(text)[0].split(' ')[0]), begin = Date.now();
  abort.abort();
  assert.equal(await lost, 'gone');
  assert.ok((await modern(n1, 'tools/call', {name: 'work__task', arguments: {}, _meta: known})).message.result);
  await waitFor('the server was told', () => told('notifications/cancelled').length === 1);
  console.log(`# cancelled after ${at('notifications/cancelled') - begin} ms, a call took ${at('call task') - begin} ms`);
  assert.ok(at('notifications/cancelled') - at('call task') < 1000);

  const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
  const post = (body, more, signal) => fetch(url(n1), {method: 'POST', headers: {...headers, ...more}, body: JSON.stringify({jsonrpc: '2.0', ...body}), signal});
  const session = (await post({id: 1, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 'a', version: '1'}}})).headers.get('mcp-session-id');
  const legacy = {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'};
  const drop = new AbortController();
  const waiting = post({id: 2, method: 'tools/call', params: {name: 'work__never', arguments: {}}}, legacy, drop.signal).catch(() => 'gone');
  await waitFor('the server was called again', () => told('call never').length === 2);
  drop.abort();
  assert.equal(await waiting, 'gone');
  await sleep(2000);
  assert.equal(told('notifications/cancelled').length, 1); // it may come back
  assert.equal((await post({method: 'notifications/cancelled', params: {requestId: 2}}, legacy)).status, 202);
  await waitFor('the server was told of that one', () => told('notifications/cancelled').length === 2);
}));

test('progress is a sign of life: a call may take longer than its server is waited for', threeNodes('long', async ([n1, , n3], told) => {
  const steps = (await modern(n1, 'tools/call', {name: 'work__steps', arguments: {count: 16}, _meta: {progressToken: 'p'}})).message;
  assert.equal(steps.result?.content[0].text, 'all steps');
  const silent = (await modern(n3, 'tools/call', {name: 'work__never', arguments: {}})).message;
  assert.equal(silent.error.code, -32603);
  assert.match(silent.error.message, /outcome unknown/);
  await waitFor('the server was told', () => told('notifications/cancelled').length === 1);
}, 5));

// A legacy session by hand: request(method, params) gives the whole answer.
async function legacySession(node, capabilities = {}, path = '/mcp') {
  const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
  let id = 0, session;
  const request = async (method, params = {}) => {
    const response = await fetch(url(node, path), {method: 'POST', body: JSON.stringify({jsonrpc: '2.0', id: ++id, method, params}),
      headers: {...headers, ...(session ? {'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25'} : {})}});
    session ??= response.headers.get('mcp-session-id');
    const text = await response.text();
    return JSON.parse(text.startsWith('{') ? text : text.split('\n').filter(line => line.startsWith('data: {')).at(-1).slice(6));
  };
  const {result} = await request('initialize', {protocolVersion: '2025-11-25', capabilities, clientInfo: {name: 'test', version: '1'}});
  return {request, offered: result.capabilities, get session() { return session; }};
}

test('a server at a URL that is away for a moment keeps its session, and so its tasks', withMesh('away-for-a-moment', async mesh => {
  const port = await everythingHttp(mesh);
  const proxy = await new Proxy().listen();
  proxy.target = `127.0.0.1:${port}`;
  try {
    const [n1, n2] = await mesh.cluster(2, {n2: {web: {url: `http://${proxy.address}/mcp`}}});
    const is = state => async () => (await ctlJson(n2, 'servers', 'ls')).items.find(({name}) => name === 'web')?.state === state;
    await waitFor('n1 lists the server', async () =>
      (await modern(n1, 'tools/list')).message.result.tools.some(({name}) => name === 'web__simulate-research-query'));
    const shared = await legacySession(n1), own = await legacySession(n1, {elicitation: {}});
    const begin = async client => (await client.request('tools/call',
      {name: 'web__simulate-research-query', arguments: {topic: 'sessions'}, task: {ttl: 60000}})).result.task.taskId;
    // Modern clients have no tasks of that kind: for them the tool is one that takes its time, and may ask.
    const research = (node, topic, more = {}) => modern(node, 'tools/call', {name: 'web__simulate-research-query', arguments: {topic, ambiguous: topic === 'python'}, ...more,
      _meta: {'io.modelcontextprotocol/clientCapabilities': topic === 'python' ? {elicitation: {}} : {}}});
    const [plain, asked] = await Promise.all([research(n1, 'plain'), research(n1, 'python')]);
    assert.match(plain.message.result.content[0].text, /Research Report: plain/);
    const {resultType, inputRequests, requestState} = asked.message.result;
    assert.equal(resultType, 'input_required');
    const answers = Object.fromEntries(Object.keys(inputRequests).map(key => [key, {action: 'accept', content: {interpretation: 'snake'}}]));
    const answered = (await research(n2, 'python', {inputResponses: answers, requestState})).message;
    assert.match(answered.result.content[0].text, /Research Report: python \(snake\)/);

    const tasks = [[shared, await begin(shared)], [own, await begin(own)]];
    proxy.cut();
    // The node notices when it says something: here the stream of the session.
    await waitFor('the node has noticed', async () => !await is('ready')());
    await proxy.heal();
    await waitFor('the server is back', is('ready'));
    for (const [client, taskId] of tasks) {
      const state = await waitFor('the task is over', async () => {
        const {result, error} = await client.request('tasks/get', {taskId});
        assert.ok(error === undefined || error.data?.reason === 'unavailable', JSON.stringify(error));
        return result?.status === 'completed';
      }, {every: 200});
      assert.ok(state);
      const {result} = await client.request('tasks/result', {taskId});
      assert.match(result.content[0].text, /Research Report: sessions/);
    }
  } finally {
    proxy.close();
  }
}));
