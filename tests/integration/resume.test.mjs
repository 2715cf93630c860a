// Streams of legacy clients whose entry node is killed in the middle: each client comes to another node with the id of the
// last event it saw, and gets its answer, or is told what became of it; nothing is lost without a word.
import test, {before, after} from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {readFileSync, writeFileSync} from 'node:fs';
import {Mesh, waitFor, modern, nodejs, url, sleep} from './lib/mesh.mjs';

const mesh = new Mesh('resume');
const diary = join(mesh.dir, 'diary');
const server = {command: nodejs, args: [join(import.meta.dirname, 'lib', 'legacy.mjs'), diary], era: 'legacy'};
let n1, n2, n3;
const PATIENCE = 120_000; // a stream that never ends fails its test, and no more

// A client that reads a stream as the specification wants it: the id of the last event is where it goes on.
class Client {
  static async open(node, name, capabilities = {}) {
    const client = Object.assign(new Client(), {name, node, messages: []});
    const response = await client.post(node, {id: 0, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities, clientInfo: {name, version: '1'}}});
    client.session = response.headers.get('mcp-session-id');
    await response.text();
    return client;
  }

  headers() {
    return {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      ...(this.session ? {'mcp-session-id': this.session, 'mcp-protocol-version': '2025-11-25'} : {})};
  }

  post(node, message) {
    return fetch(url(node), {method: 'POST', signal: AbortSignal.timeout(PATIENCE), headers: this.headers(), body: JSON.stringify({jsonrpc: '2.0', ...message})});
  }

  // Reads until the stream ends or breaks; true: it ended.
  async read(response) {
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    let rest = '';
    try {
      for await (const bytes of response.body) {
        rest += Buffer.from(bytes).toString();
        for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
          for (const line of rest.slice(0, end).split('\n')) {
            if (line.startsWith('id: ')) this.last = line.slice(4);
            if (line.startsWith('data: ') && line.length > 6) this.messages.push(JSON.parse(line.slice(6)));
          }
      }
      return true;
    } catch {
      return false;
    }
  }

  async call(node, id, tool, given) {
    const response = await this.post(node, {id, method: 'tools/call', params: {name: tool, arguments: {name: this.name, ...given}, _meta: {progressToken: `p-${this.name}`}}});
    this.reading = this.read(response);
  }

  async resume(node) {
    const response = await fetch(url(node), {signal: AbortSignal.timeout(PATIENCE), headers: {...this.headers(), accept: 'text/event-stream', 'last-event-id': this.last}});
    this.reading = this.read(response);
  }

  answer(id) {
    return this.messages.find(message => message.id === id && !message.method);
  }
}

before(async () => {
  [n1, n2, n3] = await mesh.cluster(3, {n1: {own: server}, n2: {old: server}});
  for (const node of [n1, n3])
    await waitFor(`${node.name} lists both servers`, async () => {
      const names = (await modern(node, 'tools/list')).message.result.tools.map(({name}) => name);
      return names.includes('old__wait') && names.includes('own__wait');
    });
});

after(() => mesh.stop());

// The old connection stays open all the while, as one does whose network is gone without a word.
test('a client that comes back before its old connection is seen to be gone', async t => {
  const ways = {here: ['n1'], there: ['n3'], back: ['n3', 'n1']};
  for (const [name, way] of Object.entries(ways))
    await t.test(`at ${way.join(', and then at ')}`, async () => {
      const client = await Client.open(n1, name), file = join(mesh.dir, name);
      await client.call(n1, 5, 'old__wait', {file});
      await waitFor('it has heard of its call', () => client.messages.length > 0);
      await sleep(2000); // for as long as it takes to note it elsewhere
      for (const at of way) {
        const old = client.reading;
        await client.resume({n1, n3}[at]);
        assert.equal(await old, true, 'the old stream ends');
        assert.equal(client.answer(5), undefined); // what is not sent there is not lost
      }
      writeFileSync(file, '');
      assert.equal(await client.reading, true);
      assert.match(JSON.stringify(client.answer(5).result), new RegExp(`waited for ${name}`));
    });
});

test('the entry node dies: answers of calls that run elsewhere come at the next node, and the others are told of', async t => {
  const file = name => join(mesh.dir, name);
  const [late, early, asked, dead, gone, quick] = await Promise.all(['late', 'early', 'asked', 'dead', 'gone', 'quick'].map(name =>
    Client.open(n1, name, name === 'asked' ? {elicitation: {}} : {})));
  await late.call(n1, 7, 'old__wait', {file: file('late')});
  await early.call(n1, 'seven', 'old__wait', {file: file('early')});
  await asked.call(n1, 8, 'old__name', {});
  await dead.call(n1, 9, 'own__wait', {file: file('never')});
  await gone.call(n1, 10, 'old__wait', {file: file('never')});
  for (const client of [late, early, asked, dead, gone])
    await waitFor(`${client.name} has heard of its call`, () => client.messages.length > 0);
  await quick.call(n1, 11, 'old__wait', {file: diary}); // answered at once: its stream is over
  assert.equal(await quick.reading, true);
  assert.match(JSON.stringify(quick.answer(11).result), /waited for quick/);
  await sleep(2000); // a call that is younger than half a second, and what it takes to note it elsewhere, may be told to be unknown
  await mesh.kill(n1);
  for (const client of [late, early, asked, dead, gone]) assert.equal(await client.reading, false);

  await t.test('an answer that comes after the client', async () => {
    await late.resume(n3);
    writeFileSync(file('late'), '');
    assert.equal(await late.reading, true);
    assert.deepEqual(late.answer(7).result.content, [{type: 'text', text: 'waited for late'}]);
  });

  await t.test('an answer that came while nobody was there, and once more for who missed it', async () => {
    writeFileSync(file('early'), '');
    const before = early.last;
    await sleep(200); // the server has answered by now, or will in a moment: both must do
    await early.resume(n3);
    assert.equal(await early.reading, true);
    assert.match(JSON.stringify(early.answer('seven').result), /waited for early/);
    Object.assign(early, {last: before, messages: []});
    await early.resume(n3);
    assert.equal(await early.reading, true);
    assert.match(JSON.stringify(early.answer('seven').result), /waited for early/);
  });

  await t.test('a question that was open is asked again', async () => {
    const [first] = asked.messages;
    assert.equal(first.method, 'elicitation/create');
    await asked.resume(n3);
    await waitFor('asked again', () => asked.messages.length > 1);
    const second = asked.messages[1];
    assert.equal(second.method, 'elicitation/create');
    assert.deepEqual(second.params, first.params);
    assert.equal((await asked.post(n3, {id: second.id, result: {action: 'accept', content: {name: 'Al'}}})).status, 202);
    assert.equal(await asked.reading, true);
    assert.match(JSON.stringify(asked.answer(8).result), /asked Al/);
  });

  await t.test('a call that died with its node: the client hears so, under its own id', async () => {
    await dead.resume(n3);
    assert.equal(await dead.reading, true);
    assert.match(dead.answer(9).error.message, /^outcome unknown/);
  });

  await t.test('a client that does not want it any more cancels it at the next node', async () => {
    await gone.post(n3, {method: 'notifications/cancelled', params: {requestId: 10}});
    await waitFor('the server heard of it', () => readFileSync(diary, 'utf8').split('\n').some(line => /^\S+ .*notifications\/cancelled/.test(line)));
    await gone.resume(n3);
    assert.equal(await gone.reading, true);
  });

  await t.test('a stream that was over is over, and somebody else\'s is nobody\'s', async () => {
    const count = quick.messages.length;
    await quick.resume(n3);
    assert.equal(await quick.reading, true);
    assert.equal(quick.messages.length, count);
    const thief = await Client.open(n3, 'thief');
    Object.assign(thief, {last: late.last});
    await thief.resume(n3);
    assert.equal(await thief.reading, true);
    assert.deepEqual(thief.messages, []);
  });
});
