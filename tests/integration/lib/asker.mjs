// A legacy MCP server over stdio, by hand, that begins tasks at its client when no call runs, and asks about them: the tool
// "begin" answers at once, the tool "told" says what came of it.
import {createInterface} from 'node:readline';

const say = message => process.stdout.write(`${JSON.stringify({jsonrpc: '2.0', ...message})}\n`);
const waiting = new Map(), lines = [];
let asked = 0, isDone = false;
const ask = (method, params) => new Promise(answer => {
  waiting.set(++asked, answer);
  say({id: asked, method, params});
});
const note = (what, {result, error}) => lines.push(`${what}: ${error ? error.code : JSON.stringify(result)}`);

async function work() {
  const question = {message: 'who?', requestedSchema: {type: 'object', properties: {}}, task: {ttl: 60_000}};
  await new Promise(done => setTimeout(done, 300));
  const {result: {task}} = await ask('elicitation/create', question);
  note('list', await ask('tasks/list', {}));
  note('result', await ask('tasks/result', {taskId: task.taskId}));
  note('get', await ask('tasks/get', {taskId: task.taskId}));
  note('unknown', await ask('tasks/get', {taskId: 'nobody\'s'}));
  const {result: {task: other}} = await ask('elicitation/create', {...question, message: 'never'});
  note('cancel', await ask('tasks/cancel', {taskId: other.taskId}));
  await new Promise(done => setTimeout(done, 200));
  isDone = true;
}

createInterface({input: process.stdin}).on('line', line => {
  const {id, method, params, ...response} = JSON.parse(line);
  if (method === undefined) return void waiting.get(id)?.(response);
  if (method === 'notifications/tasks/status') lines.push(`told: ${params.taskId} ${params.status}`);
  if (id === undefined) return undefined;
  if (method === 'initialize')
    return say({id, result: {protocolVersion: '2025-11-25', serverInfo: {name: 'asker', version: '1'}, capabilities: {tools: {}}}});
  if (method === 'tools/list') return say({id, result: {tools: ['begin', 'told'].map(name => ({name, inputSchema: {type: 'object'}}))}});
  if (method !== 'tools/call') return say({id, error: {code: -32601, message: 'no'}});
  if (params.name.endsWith('begin')) work();
  return say({id, result: {content: [{type: 'text', text: JSON.stringify({isDone, lines})}]}});
});
