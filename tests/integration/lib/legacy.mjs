// A legacy MCP server over stdio, by hand, with what is rare: tasks of 2025-11-25, a question that it takes back, log
// messages and progress that name their client, and what it says between calls. Its diary holds each line that it was told, under the name of its client.
import {appendFileSync, existsSync} from 'node:fs';
import {createInterface} from 'node:readline';

const diary = process.argv[2];
const say = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const tool = (name, taskSupport) => ({name, inputSchema: {type: 'object'}, ...(taskSupport ? {execution: {taskSupport}} : {})});
const text = value => ({content: [{type: 'text', text: value}]});
const related = taskId => ({'io.modelcontextprotocol/related-task': {taskId}});
const tasks = new Map(), waiting = new Map(), cancelled = new Set();
let client = 'nobody', level = 'none', asked = 0;

const ask = (method, params) => new Promise(answer => {
  const id = `q-${++asked}`;
  waiting.set(id, answer);
  say({id, method, params});
});

const state = task => ({taskId: task.taskId, status: task.status, createdAt: '2026-01-01T00:00:00Z', lastUpdatedAt: '2026-01-01T00:00:00Z', ttl: 60000, pollInterval: 50});

// The work of a task: it asks its client on the stream of tasks/result, and ends.
async function work(task, given) {
  task.status = 'input_required';
  await task.resulting; // somebody waits, who can be asked
  const answer = await ask('elicitation/create', {message: `for ${given.name}`, requestedSchema: {type: 'object', properties: {}}, _meta: related(task.taskId)});
  if (task.status === 'cancelled') return;
  task.status = 'completed';
  task.done({...text(`${given.name} was told ${answer.result?.content?.name ?? answer.result?.action}, about ${answer.result?._meta ? 'a task' : 'nothing'}`), _meta: related(task.taskId)});
}

const sleep = ms => new Promise(done => setTimeout(done, ms));
async function appear({file, ms}, otherwise) {
  if (file === undefined) return sleep(ms ?? otherwise);
  while (!existsSync(file)) await sleep(20);
}

const severity = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency', 'none'];

const tools = {
  async job(id, given, params) {
    if (!params.task) return text('done at once');
    const task = {taskId: `t-${tasks.size + 1}`};
    task.result = new Promise(done => { task.done = done; });
    task.resulting = new Promise(begin => { task.begin = begin; });
    tasks.set(task.taskId, task);
    work(task, given);
    return {task: state(task)};
  },
  // A task that ends by itself, after a while or once there is a file, and says so unasked.
  async later(id, given, params) {
    if (!params.task) return text('not as a task');
    const task = {taskId: `t-${tasks.size + 1}`, status: 'working', begin() {}};
    tasks.set(task.taskId, task);
    task.result = new Promise(done => { task.done = done; });
    appear(given, 0).then(() => {
      task.status = 'completed';
      task.done({...text(`later for ${given.name}`), _meta: related(task.taskId)});
      say({method: 'notifications/tasks/status', params: state(task)});
    });
    return {task: state(task)};
  },
  // Asks, takes the question back, and says what came of it.
  async recant(id) {
    const answer = ask('elicitation/create', {message: 'never mind', requestedSchema: {type: 'object', properties: {}}});
    const question = `q-${asked}`;
    await new Promise(done => setTimeout(done, 300));
    say({method: 'notifications/cancelled', params: {requestId: question, reason: 'not needed'}});
    await Promise.race([answer, new Promise(done => setTimeout(done, 300))]);
    return text(waiting.has(question) ? 'no answer' : 'an answer');
  },
  async roots() { return text(JSON.stringify((await ask('roots/list')).result.roots)); },
  // As told by the notification, without asking.
  async told() { return text(`${client} ${level}`); },
  async name(id, given) {
    return text(`${given.name} ${(await ask('elicitation/create', {message: `who is ${given.name}?`, requestedSchema: {type: 'object', properties: {name: {type: 'string'}}}})).result.content.name}`);
  },
  async talk(id, given, {_meta}) {
    for (let progress = 1; progress <= 5; progress++) {
      if (_meta?.progressToken !== undefined) say({method: 'notifications/progress', params: {progressToken: _meta.progressToken, progress, message: `for ${given.name}`}});
      say({method: 'notifications/message', params: {level: 'info', data: `for ${given.name}`}});
      await new Promise(done => setTimeout(done, 20));
    }
    return text(`talked to ${given.name}`);
  },
  // Shows that it has begun, and ends once there is a file.
  async wait(id, given, {_meta}) {
    if (_meta?.progressToken !== undefined) say({method: 'notifications/progress', params: {progressToken: _meta.progressToken, progress: 1}});
    while (!existsSync(given.file) && !cancelled.has(id)) await new Promise(done => setTimeout(done, 20));
    return cancelled.has(id) ? undefined : text(`waited for ${given.name}`);
  },
  // Between calls, after a while or once there is a file: logs on each level (loud: also below the one that was set), tells
  // what no revision knows.
  async murmur(id, given) {
    appear(given, 300).then(() => {
      for (const each of ['debug', 'info', 'warning', 'error'])
        if (given.loud || severity.indexOf(each) >= severity.indexOf(level)) say({method: 'notifications/message', params: {level: each, logger: 'murmur', data: `${given.text ?? 'murmur'} for ${client}`}});
      say({method: 'notifications/vendor/told', params: {to: client}});
    });
    return text('later');
  },
  // Between calls: asks for a name and for roots, and logs what it was told.
  async wonder(id, given) {
    setTimeout(async () => {
      const roots = await ask('roots/list');
      const {result} = await ask('elicitation/create', {message: `who is ${client}?`, requestedSchema: {type: 'object', properties: {name: {type: 'string'}}}});
      say({method: 'notifications/message', params: {level: 'error', data: `${client} is ${result?.content?.name ?? result?.action}, in ${roots.result?.roots[0].uri ?? roots.error.message}`}});
    }, given.ms ?? 300);
    return text('later');
  },
  // Something has to be done at a URL; it is done when the call has long ended.
  async visit(id) {
    const elicitationId = `visit-${++asked}`;
    setTimeout(() => say({method: 'notifications/elicitation/complete', params: {elicitationId}}), 500);
    say({id, error: {code: -32042, message: 'visit it', data: {elicitations: [{mode: 'url', message: 'visit it', url: 'https://example.com/visit', elicitationId}]}}});
  },
  async slow(id, given) {
    for (let i = 0; i < given.steps && !cancelled.has(id); i++) await new Promise(done => setTimeout(done, 50));
    return cancelled.has(id) ? undefined : text(`slow for ${given.name}`);
  },
};

const answers = {
  initialize({clientInfo}) {
    client = clientInfo.name;
    return {protocolVersion: '2025-11-25', serverInfo: {name: 'old', version: '1'},
      capabilities: {tools: {}, logging: {}, tasks: {list: {}, cancel: {}, requests: {tools: {call: {}}}}}};
  },
  'tools/list': () => ({tools: [tool('job', 'optional'), tool('later', 'required'), ...['recant', 'roots', 'told', 'name', 'talk', 'wait', 'slow', 'murmur', 'wonder', 'visit'].map(name => tool(name))]}),
  'logging/setLevel'(params) { level = params.level; return {}; },
  'tasks/get': ({taskId}) => tasks.has(taskId) && state(tasks.get(taskId)),
  'tasks/result': ({taskId}) => { tasks.get(taskId)?.begin(); return tasks.get(taskId)?.result; },
  'tasks/cancel'({taskId}) {
    const task = tasks.get(taskId);
    if (!task || task.status === 'completed') return undefined;
    task.status = 'cancelled';
    return state(task);
  },
};

createInterface({input: process.stdin}).on('line', async line => {
  const {id, method, params, ...response} = JSON.parse(line);
  appendFileSync(diary, `${client} ${line}\n`);
  if (method === undefined) {
    waiting.get(id)?.(response);
    waiting.delete(id);
  } else if (method === 'notifications/cancelled') {
    cancelled.add(params.requestId);
  } else if (id !== undefined) {
    const result = method === 'tools/call' ? await tools[params.name](id, params.arguments ?? {}, params) : await answers[method]?.(params);
    if (result) say({id, result});
    else if (!cancelled.has(id) && params?.name !== 'visit') say({id, error: {code: answers[method] ? -32602 : -32601, message: 'no'}});
  }
});
