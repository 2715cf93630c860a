// A modern MCP server over stdio, as small as possible: tasks, a tool that never answers, and a diary of what it was told.
import {appendFileSync} from 'node:fs';
import {createInterface} from 'node:readline';

const diary = process.argv[2];
const note = text => appendFileSync(diary, `${Date.now()} ${text}\n`);
const say = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const tasks = new Map(), listens = new Map();
const tagged = id => ({'io.modelcontextprotocol/subscriptionId': id});
// Whoever listens to it hears how it is.
function tell(task) {
  for (const [id, taskIds] of listens)
    if (taskIds.includes(task.taskId)) say({method: 'notifications/tasks', params: {...task, _meta: tagged(id)}});
}
const hints = {ttlMs: 0, cacheScope: 'private'};
const tool = name => ({name, inputSchema: {type: 'object'}});

const answers = {
  'server/discover': () => ({supportedVersions: ['2026-07-28'], capabilities: {tools: {}, extensions: {'io.modelcontextprotocol/tasks': {}}}, ...hints}),
  'tools/list': () => ({tools: [tool('task'), tool('never'), tool('steps')], ...hints}),
  'tasks/get': ({taskId}) => tasks.get(taskId),
  'tasks/cancel': ({taskId}) => { tasks.get(taskId).status = 'cancelled'; tell(tasks.get(taskId)); return {}; },
};

async function call(id, {name, arguments: given, _meta}) {
  note(`call ${name}`);
  if (name === 'never') return;
  if (name === 'steps') { // slower than the node's patience, but it shows that it lives
    for (let progress = 1; progress <= (given?.count ?? 8); progress++) {
      await new Promise(done => setTimeout(done, given?.every_ms ?? 500));
      say({method: 'notifications/progress', params: {progressToken: _meta.progressToken, progress}});
    }
    return say({id, result: {resultType: 'complete', content: [{type: 'text', text: 'all steps'}]}});
  }
  const task = {taskId: `task-${tasks.size + 1}`, status: 'working', createdAt: 'now', lastUpdatedAt: 'now', ttlMs: 60000};
  tasks.set(task.taskId, task);
  say({id, result: {...task, resultType: 'task'}});
}

createInterface({input: process.stdin}).on('line', line => {
  const {id, method, params} = JSON.parse(line);
  if (method === 'notifications/cancelled') listens.delete(params.requestId);
  if (id === undefined) return note(method);
  if (method === 'subscriptions/listen') {
    const {taskIds = []} = params.notifications;
    note(`listen ${taskIds.join(' ')}`);
    listens.set(id, taskIds);
    return say({method: 'notifications/subscriptions/acknowledged', params: {notifications: {taskIds}, _meta: tagged(id)}});
  }
  if (method === 'tools/call') return call(id, params);
  const result = answers[method]?.(params);
  if (result) say({id, result: {resultType: 'complete', ...result}});
  else say({id, error: {code: method.startsWith('tasks/') ? -32602 : -32601, message: 'no'}});
});
