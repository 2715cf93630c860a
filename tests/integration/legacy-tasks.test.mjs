// Tasks of 2025-11-25 with the official SDK (v1) on both sides: against its reference server directly, and through two nodes.
// What a session began is listed at the next node, too, after its own was killed.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {Client} from '@modelcontextprotocol/sdk/client/index.js';
import {InMemoryTaskStore} from '@modelcontextprotocol/sdk/experimental/tasks';
import {StreamableHTTPClientTransport as Http} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {StdioClientTransport as Stdio} from '@modelcontextprotocol/sdk/client/stdio.js';
import {CreateMessageRequestSchema, CreateTaskResultSchema, ElicitRequestSchema} from '@modelcontextprotocol/sdk/types.js';
import {withMesh, waitFor, modern, nodejs, everything, everythingHttp, url} from './lib/mesh.mjs';

const listed = (node, name) => waitFor(`${node.name} lists ${name}`, async () =>
  (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === name));
const at = (node, path, session) => new Http(new URL(url(node, path)), {sessionId: session});

async function connect(transport, capabilities = {}, options = {}) {
  const client = new Client({name: 'test', version: '0'}, {capabilities, ...options});
  await client.connect(transport);
  return client;
}

// The reference server's own tool, as a task; what its client sees until its end.
async function research(client, topic) {
  const seen = [], stream = client.experimental.tasks.callToolStream({name: 'simulate-research-query', arguments: {topic}}, undefined, {task: {ttl: 60_000}});
  for await (const {type, task, result, error} of stream) {
    if (type === 'taskStatus') continue; // as often as it polls
    seen.push(type === 'result' ? result.content[0].text.split('\n')[0] : type === 'error' ? String(error) : task.status);
  }
  return seen;
}

// All that a client lists, without what is another at each run.
async function listOf(client) {
  const tasks = [];
  for (let cursor, more = true; more; more = cursor !== undefined) {
    const page = await client.experimental.tasks.listTasks(cursor);
    tasks.push(...page.tasks);
    cursor = page.nextCursor;
  }
  return tasks;
}
const stateOf = ({taskId, createdAt, lastUpdatedAt, ...state}) => (assert.ok(taskId && createdAt && lastUpdatedAt), state);

test('SDK v1: tasks and their list are the same directly and through two nodes, each client\'s own', withMesh('sdk-tasks', async mesh => {
  const direct = await connect(new Stdio({command: nodejs, args: [everything, 'stdio'], stderr: 'ignore'}));
  try {
    const [n1] = await mesh.cluster(2, {n2: {everything: {command: nodejs, args: [everything, 'stdio']}}});
    await listed(n1, 'everything__simulate-research-query');
    const [one, two] = [await connect(at(n1, '/mcp/servers/everything')), await connect(at(n1, '/mcp/servers/everything'))];
    assert.deepEqual(one.getServerCapabilities().tasks, direct.getServerCapabilities().tasks);
    for (const client of [direct, one, two]) assert.deepEqual(await listOf(client), []);
    const seen = await Promise.all([direct, one, two].map((client, i) => research(client, `topic ${i}`)));
    assert.deepEqual(seen.map(lines => lines.join().replace(/topic \d/, 'T')), Array(3).fill(seen[0].join().replace(/topic \d/, 'T')));
    assert.match(seen[1].at(-1), /topic 1/);
    const lists = await Promise.all([direct, one, two].map(listOf));
    for (const list of lists) assert.deepEqual(list.map(stateOf), lists[0].map(stateOf));
    assert.equal(lists[0].length, 1);
    assert.notEqual(lists[1][0].taskId, lists[2][0].taskId);
    assert.deepEqual(await one.experimental.tasks.getTask(lists[1][0].taskId).then(stateOf), stateOf(lists[1][0]));
    await assert.rejects(direct.experimental.tasks.listTasks('no cursor'), {code: -32602});
    await assert.rejects(one.experimental.tasks.listTasks('no cursor'), {code: -32602});
    for (const client of [one, two]) await client.close();
  } finally {
    await direct.close();
  }
}));

test('what a session began is listed at the next node, after its own was killed, and nothing else is', withMesh('listed-elsewhere', async mesh => {
  const server = {command: nodejs, args: [join(import.meta.dirname, 'lib', 'legacy.mjs'), join(mesh.dir, 'diary')], era: 'legacy'};
  const [n1, n2, n3] = await mesh.cluster(3, {n2: {old: server}, n3: {far: server}});
  for (const name of ['old__later', 'far__later']) await listed(n1, name);
  const [ann, bob] = [await connect(at(n1, '/mcp')), await connect(at(n1, '/mcp'))];
  const begin = async (client, name) => (await client.request({method: 'tools/call', params: {name, arguments: {name, ms: 600_000}, task: {ttl: 600_000}}},
    CreateTaskResultSchema)).task.taskId;
  const others = await begin(bob, 'old__later');
  const own = [];
  for (let i = 0; i < 20; i++) own.push(await begin(ann, i % 2 ? 'old__later' : 'far__later'));
  await mesh.kill(n1); // it has told of the last one, and nothing more
  const there = await connect(at(n3, '/mcp', ann.transport.sessionId));
  const ids = async client => (await listOf(client)).map(({taskId}) => taskId);
  assert.deepEqual(await ids(there), own);
  own.push(await begin(there, 'old__later'));
  const here = await connect(at(n2, '/mcp', ann.transport.sessionId));
  assert.deepEqual(await ids(here), own);
  assert.deepEqual(await ids(await connect(at(n2, '/mcp', bob.transport.sessionId))), [others]);
  await mesh.kill(n3); // with the server of half of them
  const {tasks, _meta} = await here.experimental.tasks.listTasks();
  assert.ok(tasks.length > 0 && tasks.every(({taskId}) => own.indexOf(taskId) % 2 === 1 || taskId === own.at(-1)));
  assert.deepEqual(_meta, {'meshnode/unanswered': ['far']});
}));

const asked = {sampling: {}, elicitation: {}, tasks: {list: {}, cancel: {}, requests: {sampling: {createMessage: {}}, elicitation: {create: {}}}}};

// A client that makes a task of what it is asked, and is done with it a moment later.
async function taskMaker(transport, name, capabilities = asked) {
  const taskStore = capabilities.tasks && new InMemoryTaskStore();
  const client = new Client({name, version: '0'}, {capabilities, taskStore});
  client.onclose = () => taskStore?.cleanup(); // its timers would keep the program waiting
  const answer = result => async (request, extra) => {
    if (!request.params.task) return result;
    const task = await extra.taskStore.createTask({ttl: extra.taskRequestedTtl, pollInterval: 50});
    setTimeout(() => extra.taskStore.storeTaskResult(task.taskId, 'completed', result).catch(() => {}), 300); // unless it is cancelled
    client.made.push(task.taskId);
    return {task};
  };
  client.made = [];
  client.setRequestHandler(ElicitRequestSchema, answer({action: 'accept', content: {name}}));
  client.setRequestHandler(CreateMessageRequestSchema, answer({role: 'assistant', model: 'm', content: {type: 'text', text: `sampled by ${name}`}}));
  await client.connect(transport);
  return client;
}

// What the reference server's tools say of such a task, which they ask about once a second.
async function asksLater(client, name) {
  const said = [];
  for (const [tool, args] of [['trigger-sampling-request-async', {prompt: 'hello', maxTokens: 10}], ['trigger-elicitation-request-async', {}]]) {
    const {content} = await client.callTool({name: tool, arguments: args});
    said.push(content.map(({text}) => text).join('\n'));
    assert.match(said.at(-1), /COMPLETED/);
    assert.ok(said.at(-1).includes(client.made.at(-1)), 'the id of the task is its client\'s own');
  }
  return said.join('\n').replaceAll(name, 'NAME').replaceAll(/[0-9a-f]{32}/g, 'ID');
}

test('SDK v1: what a server asks becomes a task of its client, the same directly and through two nodes', withMesh('client-tasks', async mesh => {
  const direct = await taskMaker(new Stdio({command: nodejs, args: [everything, 'stdio'], stderr: 'ignore'}), 'direct');
  try {
    const port = await everythingHttp(mesh);
    const [n1] = await mesh.cluster(2, {n2: {child: {command: nodejs, args: [everything, 'stdio']}, web: {url: `http://127.0.0.1:${port}/mcp`}}});
    for (const name of ['child', 'web']) await listed(n1, `${name}__echo`);
    const clients = [direct, ...await Promise.all(['child', 'web'].map(name => taskMaker(at(n1, `/mcp/servers/${name}`), name)))];
    const said = await Promise.all(clients.map((client, i) => asksLater(client, ['direct', 'child', 'web'][i])));
    assert.match(said[0], /sampled by NAME[^]*Name: NAME/);
    assert.deepEqual(said, Array(3).fill(said[0]));
    const plain = await taskMaker(at(n1, '/mcp/servers/child'), 'plain', {sampling: {}, elicitation: {}}); // its server is not told of tasks
    assert.equal((await plain.callTool({name: 'trigger-elicitation-request-async', arguments: {}})).isError, true);
    for (const client of [...clients.slice(1), plain]) await client.close();
  } finally {
    await direct.close();
  }
}));

test('what a server asks between calls becomes a task, too; at /mcp each server hears of its own', withMesh('between-calls', async mesh => {
  const server = {command: nodejs, args: [join(import.meta.dirname, 'lib', 'asker.mjs')], era: 'legacy'};
  const direct = await taskMaker(new Stdio({...server, stderr: 'ignore'}), 'direct');
  try {
    const [n1, n2] = await mesh.cluster(2, {n1: {near: server}, n2: {far: server}});
    for (const node of [n1, n2]) for (const name of ['near__told', 'far__told']) await listed(node, name);
    const one = await taskMaker(at(n1, '/mcp/servers/far'), 'one'), many = await taskMaker(at(n1, '/mcp'), 'many');
    const begun = [[direct, ''], [one, ''], [many, 'near__'], [many, 'far__']];
    for (const [client, prefix] of begun) await client.callTool({name: `${prefix}begin`, arguments: {}});
    const said = await Promise.all(begun.map(async ([client, prefix]) => {
      let told;
      await waitFor(`all was asked of ${client.made.length}`, async () => {
        told = JSON.parse((await client.callTool({name: `${prefix}told`, arguments: {}})).content[0].text);
        return told.isDone;
      });
      const ids = [...new Set(told.lines.join().match(/[0-9a-f]{32}/g))];
      assert.equal(ids.length, 2, 'no task but those that this server began');
      for (const id of ids) assert.ok(client.made.includes(id));
      return told.lines.filter(line => !line.startsWith('told')).map(line => line.replace(/"(createdAt|lastUpdatedAt)":"[^"]*"/g, '"$1"')
        .replaceAll(ids[0], 'FIRST').replaceAll(ids[1], 'SECOND').replaceAll(/direct|one|many/g, 'NAME')).concat(told.lines.filter(line => /^told: .* completed/.test(line)).length);
    }));
    assert.match(said[0].join('\n'), /list: .*FIRST[^]*result: .*NAME[^]*unknown: -3260/);
    for (const lines of said) assert.deepEqual(lines, said[0]);
    for (const client of [one, many]) await client.close();
  } finally {
    await direct.close();
  }
}));
