// What one client of a server must never see of another, and what a server must never see of a client: each claim a test,
// on one mesh of three nodes whose legacy server all clients share.
import test, {before, after} from 'node:test';
import assert from 'node:assert/strict';
import {createServer} from 'node:http';
import {join} from 'node:path';
import {readFileSync, writeFileSync} from 'node:fs';
import {Mesh, waitFor, modern, nodejs, url, sleep} from './lib/mesh.mjs';

const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
const PATIENCE = 120_000; // an answer that never ends fails its test, and no more
const mesh = new Mesh('apart');
const diary = join(mesh.dir, 'diary');
let n1, n2, n3, recorder;

// An HTTP server of the legacy era that keeps the headers of all it is asked.
const startRecorder = () => new Promise(started => {
  const seen = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', bytes => { body += bytes; });
    request.on('end', () => {
      seen.push({headers: request.headers, body});
      if (request.method !== 'POST') return response.writeHead(405).end();
      const {id, method} = JSON.parse(body);
      if (id === undefined) return response.writeHead(202).end();
      const result = {
        initialize: {protocolVersion: '2025-11-25', serverInfo: {name: 'recorder', version: '1'}, capabilities: {tools: {}}},
        'tools/list': {tools: [{name: 'echo', inputSchema: {type: 'object'}}]},
        'tools/call': {content: [{type: 'text', text: 'echo'}]},
      }[method];
      response.writeHead(200, {'content-type': 'application/json', 'set-cookie': 'upstream=1', ...(method === 'initialize' ? {'mcp-session-id': 'upstream-session'} : {})});
      response.end(JSON.stringify({jsonrpc: '2.0', id, ...(result ? {result} : {error: {code: -32601, message: 'no'}})}));
    });
  }).listen(0, '127.0.0.1', () => started({seen, server, url: `http://127.0.0.1:${server.address().port}/mcp`}));
});

before(async () => {
  recorder = await startRecorder();
  [n1, n2, n3] = await mesh.cluster(3, {n2: {
    old: {command: nodejs, args: [join(import.meta.dirname, 'lib', 'legacy.mjs'), diary], era: 'legacy'},
    recorder: {url: recorder.url, era: 'legacy', headers: {authorization: 'Bearer of-the-node'}}}});
  for (const node of [n1, n3])
    await waitFor(`${node.name} lists both servers`, async () => {
      const names = (await modern(node, 'tools/list')).message.result.tools.map(({name}) => name);
      return names.includes('old__talk') && names.includes('recorder__echo');
    });
});

after(async () => {
  await mesh.stop();
  recorder.server.close();
});

// A legacy session: call() gives everything that came on the call's stream; questions are answered by answer().
class Client {
  static async open(node, name, {capabilities = {}, path = '/mcp'} = {}) {
    const client = Object.assign(new Client(), {node, name, path});
    const response = await client.post({id: 0, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities, clientInfo: {name, version: '1'}}});
    client.session = response.headers.get('mcp-session-id');
    client.capabilities = JSON.parse(await response.text()).result.capabilities;
    await client.post({method: 'notifications/initialized'});
    return client;
  }

  post(message) {
    return fetch(url(this.node, this.path), {method: 'POST', signal: AbortSignal.timeout(PATIENCE), body: JSON.stringify({jsonrpc: '2.0', ...message}),
      headers: {...headers, ...(this.session ? {'mcp-session-id': this.session, 'mcp-protocol-version': '2025-11-25'} : {})}});
  }

  async request(id, method, params, answer) {
    const messages = [];
    const response = await this.post({id, method, params});
    if (response.headers.get('content-type') === 'application/json') return [JSON.parse(await response.text())];
    let rest = '';
    for await (const bytes of response.body) {
      rest += Buffer.from(bytes).toString();
      for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
        for (const line of rest.slice(0, end).split('\n')) {
          if (!line.startsWith('data: ') || line.length <= 6) continue;
          const message = JSON.parse(line.slice(6));
          messages.push(message);
          const result = message.method && message.id !== undefined && await answer?.(message);
          if (result) await this.post({id: message.id, result});
        }
    }
    return messages;
  }

  // The messages on the session's own stream at the client's node, as they come.
  async stream() {
    const abort = new AbortController(), messages = [];
    const response = await fetch(url(this.node, this.path), {signal: abort.signal,
      headers: {...headers, accept: 'text/event-stream', 'mcp-session-id': this.session, 'mcp-protocol-version': '2025-11-25'}});
    assert.equal(response.status, 200);
    (async () => {
      let rest = '';
      for await (const bytes of response.body) {
        rest += Buffer.from(bytes).toString();
        for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
          for (const line of rest.slice(0, end).split('\n'))
            if (line.startsWith('data: {')) messages.push(JSON.parse(line.slice(6)));
      }
    })().catch(() => {});
    return {close: () => abort.abort(), get states() { return messages.filter(({method}) => method === 'notifications/tasks/status').map(({params}) => params); }};
  }

  call(id, name, given = {}, more = {}, answer) {
    return this.request(id, 'tools/call', {name: this.path === '/mcp' ? `old__${name}` : name, arguments: {name: this.name, ...given}, ...more}, answer);
  }
}

const textOf = messages => messages.at(-1).result?.content?.[0].text ?? JSON.stringify(messages.at(-1));
const accept = name => ({params}) => ({action: 'accept', content: {name}, ...(params._meta ? {_meta: params._meta} : {})});
const asking = {elicitation: {}, roots: {listChanged: true}};

test('progress and log messages go to the caller that they are for', async () => {
  const clients = await Promise.all([[n1, 'ann'], [n3, 'bob'], [n1, 'cyd']].map(([node, name]) => Client.open(node, name, {capabilities: asking})));
  const talks = await Promise.all(clients.map(client => client.call(1, 'talk', {}, {_meta: {progressToken: 'same'}}))); // equal ids and tokens
  talks.forEach((messages, i) => {
    assert.equal(textOf(messages), `talked to ${clients[i].name}`);
    assert.equal(messages.filter(({method}) => method === 'notifications/progress').length, 5);
    for (const {method, params} of messages.filter(({method}) => method?.startsWith('notifications/')))
      assert.equal(method === 'notifications/progress' ? params.message : params.data, `for ${clients[i].name}`);
  });
});

// The log messages that a call is told.
const logsOf = messages => messages.filter(({method}) => method === 'notifications/message').map(({params}) => params.data);
const wish = {_meta: {'io.modelcontextprotocol/logLevel': 'debug'}};
const modernCall = async (node, name, given, more) => (await modern(node, 'tools/call', {name: `old__${name}`, arguments: given, ...more})).messages;

test('what a server logs between calls, or for another call, is told to nobody else', async () => {
  const uma = await Client.open(n1, 'uma'), viv = await Client.open(n3, 'viv'); // they declare nothing, and set no level
  const murmurs = {
    'a client that wants nothing': () => uma.call(1, 'murmur', {text: 'of uma', loud: true}),
    'a modern client that wants no logs': () => modernCall(n1, 'murmur', {text: 'of nobody', loud: true}),
    'a modern client that wants logs': () => modernCall(n1, 'murmur', {text: 'of somebody', loud: true}, wish),
  };
  for (const [who, murmur] of Object.entries(murmurs)) {
    await murmur(); // it logs 0.3 s later; the others' calls take a second
    const [one, two] = [viv.call(2, 'slow', {name: 'viv', steps: 20}), modernCall(n3, 'slow', {name: 'xia', steps: 20}, wish)];
    assert.deepEqual([textOf(await one), textOf(await two)], ['slow for viv', 'slow for xia']);
    assert.deepEqual([logsOf(await one), logsOf(await two)], [[], []], who);
    await murmur(); // and where only one call runs
    assert.deepEqual(logsOf(await modernCall(n1, 'slow', {name: 'xia', steps: 20}, wish)), [], who);
    await murmur();
    assert.deepEqual(logsOf(await viv.call(3, 'slow', {steps: 20})), [], who);
  }
});

test('who asks for log messages hears those of its own call, among others', async () => {
  const zoe = await Client.open(n1, 'zoe');
  await zoe.request(1, 'logging/setLevel', {level: 'info'});
  const all = await Promise.all([zoe.call(2, 'talk'), ...['xia', 'yul'].map(name => modernCall(n3, 'talk', {name}, wish)), modernCall(n1, 'talk', {name: 'quiet'})]);
  assert.deepEqual(all.map(textOf), ['zoe', 'xia', 'yul', 'quiet'].map(name => `talked to ${name}`));
  assert.deepEqual(all.map(logsOf), [...['zoe', 'xia', 'yul'].map(name => Array(5).fill(`for ${name}`)), []]);
});

test('a log level is one client\'s own', async () => {
  const loud = await Client.open(n1, 'loud', {capabilities: asking}), quiet = await Client.open(n1, 'quiet', {capabilities: asking});
  await quiet.request(1, 'logging/setLevel', {level: 'emergency'});
  const [noise, silence] = await Promise.all([loud.call(2, 'talk'), quiet.call(2, 'talk')]);
  assert.equal(noise.filter(({method}) => method === 'notifications/message').length, 5);
  assert.equal(silence.filter(({method}) => method === 'notifications/message').length, 0);
  assert.equal(textOf(silence), 'talked to quiet');
});

test('each is asked its own questions, at the same time', async () => {
  const clients = await Promise.all([[n1, 'eve'], [n3, 'fay'], [n1, 'guy']].map(([node, name]) => Client.open(node, name, {capabilities: asking})));
  const asked = clients.map(() => []);
  const results = await Promise.all(clients.map((client, i) => client.call(1, 'name', {}, {}, message => {
    asked[i].push(message.params.message);
    return accept(`I am ${client.name}`)(message);
  })));
  clients.forEach(({name}, i) => {
    assert.deepEqual(asked[i], [`who is ${name}?`]);
    assert.equal(textOf(results[i]), `${name} I am ${name}`);
  });
});

// Calls that end once there is a file; they are at the server when its diary says so.
const running = (name, count) => waitFor(`the server has ${count} of ${name}`, () =>
  readFileSync(diary, 'utf8').split('\n').filter(line => line.includes('"file"') && line.includes(`"name":"${name}"`)).length === count);

test('the ids 1 and "1" are two calls, and only the one that is named is cancelled', async () => {
  const client = await Client.open(n1, 'hal'), file = join(mesh.dir, 'hal');
  const number = client.call(1, 'wait', {file}), string = client.call('1', 'wait', {file});
  await running('hal', 2);
  await client.post({method: 'notifications/cancelled', params: {requestId: '1'}});
  assert.deepEqual((await string).filter(({id}) => id !== undefined), []); // it was cancelled: nothing more is said
  writeFileSync(file, '');
  assert.equal(textOf(await number), 'waited for hal');
  assert.strictEqual((await number).at(-1).id, 1);
});

test('a cancellation of somebody else\'s call does nothing', async () => {
  const ida = await Client.open(n1, 'ida'), joe = await Client.open(n1, 'joe'), file = join(mesh.dir, 'ida');
  const call = ida.call(7, 'wait', {file});
  await running('ida', 1);
  await joe.post({method: 'notifications/cancelled', params: {requestId: 7}});
  await joe.call(8, 'talk'); // goes the same way, and comes back after it
  writeFileSync(file, '');
  assert.equal(textOf(await call), 'waited for ida');
});

test('an answer to somebody else\'s question is none', async () => {
  const kim = await Client.open(n1, 'kim', {capabilities: asking}), leo = await Client.open(n1, 'leo', {capabilities: asking});
  const result = await kim.call(1, 'name', {}, {}, async message => {
    assert.equal((await leo.post({id: message.id, result: {action: 'accept', content: {name: 'leo was here'}}})).status, 202);
    return accept('kim')(message);
  });
  assert.equal(textOf(result), 'kim kim');
});

test('a question that its server takes back is cancelled at the client', async () => {
  const max = await Client.open(n1, 'max', {capabilities: asking});
  const messages = await max.call(1, 'recant'); // it does not answer
  const question = messages.find(({method}) => method === 'elicitation/create');
  assert.deepEqual(messages.find(({method}) => method === 'notifications/cancelled').params.requestId, question.id);
  assert.equal(textOf(messages), 'no answer');
});

test('changed roots are told to the server in that client\'s session', async () => {
  const ned = await Client.open(n1, 'ned', {capabilities: asking}), ole = await Client.open(n3, 'ole', {capabilities: asking});
  for (const client of [ned, ole])
    assert.equal(textOf(await client.call(1, 'roots', {}, {}, () => ({roots: [{uri: `file:///${client.name}`}]}))), `[{"uri":"file:///${client.name}"}]`);
  await ned.post({method: 'notifications/roots/list_changed'});
  const told = () => readFileSync(diary, 'utf8').split('\n').filter(line => line.includes('roots/list_changed')).map(line => line.split(' ')[0]);
  await waitFor('the server is told', () => told().length > 0);
  await sleep(200);
  assert.deepEqual(told(), ['ned']);
});

test('tasks of 2025-11-25: from any node, by sealed ids that are bound to their endpoint', async () => {
  const capabilities = {...asking, tasks: {}};
  const pam = await Client.open(n1, 'pam', {capabilities}), rob = await Client.open(n1, 'rob', {capabilities, path: '/mcp/servers/old'});
  for (const client of [pam, rob]) assert.deepEqual(client.capabilities.tasks, {list: {}, cancel: {}, requests: {tools: {call: {}}}});
  assert.equal(textOf(await pam.call(1, 'job')), 'done at once'); // it was not asked for as a task
  const created = (await pam.call(2, 'job', {}, {task: {ttl: 60000}})).at(-1).result.task;
  assert.match(created.taskId, /^[A-Za-z0-9_-]{64,}$/);
  pam.node = n3; // its session goes on there
  const got = (await pam.request(3, 'tasks/get', {taskId: created.taskId})).at(-1).result;
  assert.deepEqual([got.taskId, got.status], [created.taskId, 'input_required']);
  const asked = [];
  const messages = await pam.request(4, 'tasks/result', {taskId: created.taskId}, message => {
    asked.push(message.params._meta['io.modelcontextprotocol/related-task'].taskId);
    return accept('pam herself')(message);
  });
  assert.deepEqual(asked, [created.taskId]);
  assert.equal(textOf(messages), 'pam was told pam herself, about a task');
  assert.equal(messages.at(-1).result._meta['io.modelcontextprotocol/related-task'].taskId, created.taskId);
  assert.equal((await pam.request(5, 'tasks/get', {taskId: created.taskId})).at(-1).result.status, 'completed');
  for (const [who, taskId] of [[rob, created.taskId], [pam, 't-1'], [pam, created.taskId.slice(0, -1)]])
    assert.equal((await who.request(6, 'tasks/get', {taskId})).at(-1).error.code, -32602);
  const other = (await pam.call(7, 'job', {}, {task: {}})).at(-1).result.task;
  assert.equal((await pam.request(8, 'tasks/cancel', {taskId: other.taskId})).at(-1).result.status, 'cancelled');
  const listed = (await pam.request(9, 'tasks/list', {})).at(-1).result;
  assert.deepEqual(listed.tasks.map(({taskId, status}) => [taskId, status]), [[created.taskId, 'completed'], [other.taskId, 'cancelled']]);
  assert.deepEqual((await rob.request(10, 'tasks/list', {})).at(-1).result, {tasks: []});
});

test('the state of a task of 2025-11-25 is told to the session that began it, wherever that is', async () => {
  // The first two have each a session of the server for themselves, in which tasks are called the same; the third shares one.
  const clients = await Promise.all([['una', {...asking, tasks: {}}], ['vic', {...asking, tasks: {}}], ['wyn', {tasks: {}}]].map(([name, capabilities]) =>
    Client.open(n1, name, {capabilities})));
  const file = join(mesh.dir, 'later');
  const begun = await Promise.all(clients.map(client => client.call(1, 'later', {file}, {task: {ttl: 60000}})));
  const ids = begun.map(messages => messages.at(-1).result.task.taskId);
  for (const client of clients.slice(1)) client.node = n3; // their sessions go on there
  const streams = await Promise.all(clients.map(client => client.stream()));
  writeFileSync(file, '');
  await waitFor('all are told', () => streams.every(({states}) => states.length > 0));
  streams.forEach(({states}, i) => assert.deepEqual(states.map(({taskId, status}) => [taskId, status]), [[ids[i], 'completed']]));
  for (const [i, client] of clients.entries())
    assert.equal(textOf(await client.request(2, 'tasks/result', {taskId: ids[i]})), `later for ${client.name}`);
  streams.forEach(stream => stream.close());
});

test('a tool that only runs as a task is an ordinary call for those who have no tasks', async () => {
  const {message} = await modern(n3, 'tools/call', {name: 'old__later', arguments: {name: 'modern', ms: 300}});
  assert.equal(message.result.content[0].text, 'later for modern');
  assert.equal(message.result._meta, undefined);
});

test('nothing of a client\'s headers reaches a server, nor a server\'s the client', async () => {
  const secret = 'client-secret-do-not-pass';
  const begin = recorder.seen.length;
  const sent = {authorization: `Bearer ${secret}`, cookie: `session=${secret}`, 'proxy-authorization': `Basic ${secret}`, 'x-forwarded-for': '203.0.113.7',
    'x-api-key': secret, 'last-event-id': secret, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', referer: `http://${secret}/`};
  const response = await fetch(url(n1), {method: 'POST', headers: {...headers, ...sent, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'recorder__echo'},
    body: JSON.stringify({jsonrpc: '2.0', id: 1, method: 'tools/call', params: {name: 'recorder__echo', arguments: {},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}})});
  assert.equal(JSON.parse(await response.text()).result.content[0].text, 'echo');
  const sue = await Client.open(n3, 'sue', {path: '/mcp/servers/recorder'});
  assert.equal(textOf(await sue.call(1, 'echo')), 'echo');
  const asked = recorder.seen.slice(begin).filter(({body}) => body.includes('tools/call'));
  assert.equal(asked.length, 2);
  for (const {headers: got, body} of recorder.seen) {
    assert.doesNotMatch(JSON.stringify(got) + body, new RegExp(`${secret}|203\\.0\\.113|${sue.session}`));
    assert.equal(got.authorization, 'Bearer of-the-node');
    for (const name of ['cookie', 'proxy-authorization', 'x-forwarded-for', 'x-api-key', 'referer', 'traceparent']) assert.equal(got[name], undefined, name);
  }
  assert.equal(asked.at(-1).headers['mcp-session-id'], 'upstream-session'); // its own, not the client's
  assert.equal(response.headers.get('set-cookie'), null);
});
