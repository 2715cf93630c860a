// Subscriptions to resources across nodes, in both eras on both sides; they survive the loss of a link.
import test from 'node:test';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {ResourceUpdatedNotificationSchema} from '@modelcontextprotocol/sdk/types.js';
import {withMesh, waitFor, modern, nodejs, root, url, sleep, ctl} from './lib/mesh.mjs';

const fixture = join(root, 'tests', 'conformance', 'fixture', 'main.mjs');

// The same server over HTTP: it tells its listeners in the modern era, too.
const startHttp = () => new Promise(started => {
  const child = spawn(nodejs, [fixture], {env: {...process.env, PORT: '0'}, stdio: ['ignore', 'pipe', 'inherit']});
  child.stdout.once('data', line => started({child, url: line.toString().trim()}));
});
const watched = 'test://watched-resource';

const threeNodes = (name, body) => withMesh(name, async mesh => {
  const http = await startHttp();
  try {
    await run(body, mesh, http.url);
  } finally {
    http.child.kill();
  }
});

async function run(body, mesh, address) {
  const nodes = await mesh.cluster(3, {n2: {
    old: {command: nodejs, args: [fixture, '--stdio'], era: 'legacy'}, new: {url: address, era: 'modern'},
    far: {url: address, era: 'legacy'}}});
  for (const node of nodes)
    await waitFor(`${node.name} lists both servers`, async () => {
      const names = (await modern(node, 'tools/list')).message.result.tools.map(tool => tool.name);
      return ['old', 'new', 'far'].every(prefix => names.includes(`${prefix}__test_touch_resource`));
    });
  await body(...nodes, mesh, address);
}

// A legacy session with the updates it was told.
const legacy = (node, path) => session(new HttpV1(new URL(url(node, path))));
async function session(transport, capabilities = {}) {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities});
  const told = [];
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({params}) => { told.push(params.uri); });
  await client.connect(transport);
  return {told, client, close: () => client.close(), subscribe: uri => client.subscribeResource({uri}),
    unsubscribe: uri => client.unsubscribeResource({uri})};
}

// A modern listen, by hand.
async function listen(node, path, uris) {
  const abort = new AbortController();
  const response = await fetch(url(node, path), {
    method: 'POST', signal: abort.signal,
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
    body: JSON.stringify({jsonrpc: '2.0', id: 'L', method: 'subscriptions/listen', params: {notifications: {resourceSubscriptions: uris},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}}),
  });
  const messages = [];
  (async () => {
    let rest = '';
    for await (const bytes of response.body) {
      rest += Buffer.from(bytes).toString();
      for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2))
        for (const line of rest.slice(0, end).split('\n'))
          if (line.startsWith('data: ')) messages.push(JSON.parse(line.slice(6)));
    }
  })().catch(() => {});
  await waitFor('the listen is acknowledged', () => messages.length > 0);
  return {honoured: messages[0].params.notifications.resourceSubscriptions, close: () => abort.abort(),
    get told() { return messages.slice(1).map(({params}) => params.uri); }, messages};
}

const touch = (node, name, uri) => modern(node, 'tools/call', {name: `${name}__test_touch_resource`, arguments: {uri}});

for (const name of ['old', 'new'])
  test(`updates of a resource of a ${name === 'old' ? 'legacy' : 'modern'} server reach every client that asked`,
    threeNodes(`updates-${name}`, async (n1, n2, n3) => {
      const path = `/mcp/servers/${name}`;
      const ann = await legacy(n1, path), bob = await legacy(n3, path);
      await ann.subscribe(watched);
      await bob.subscribe(watched);
      const eve = await listen(n1, path, [watched, 'test://other']);
      assert.ok(eve.honoured.includes(watched));
      const long = `meshnode://${name}/${watched}`; // both servers list it: on /mcp it goes by its long form
      const dan = await listen(n3, '/mcp', [long, watched]);
      assert.deepEqual(dan.honoured, [long]);
      await waitFor('everybody is told', async () => {
        await touch(n2, name, watched);
        await sleep(100);
        return [ann, bob, eve].every(({told}) => told.includes(watched)) && dan.told.includes(long);
      });
      assert.equal(eve.messages.at(-1).params._meta['io.modelcontextprotocol/subscriptionId'], 'L');
      await ann.unsubscribe(watched);
      await sleep(300);
      ann.told.length = 0;
      const before = bob.told.length;
      await touch(n1, name, watched);
      await waitFor('bob is told', () => bob.told.length > before);
      await sleep(200);
      assert.deepEqual(ann.told, []);

      // The server starts again: whatever was missed, each is told once more, and subscribed still.
      const sofar = [bob.told.length, eve.told.length];
      assert.equal((await ctl(n2, 'servers', 'restart', name)).code, 0);
      await waitFor('told after the restart', () => bob.told.length > sofar[0] && eve.told.length > sofar[1]);
      const again = bob.told.length;
      await waitFor('told of a new update', async () => {
        await touch(n2, name, watched);
        await sleep(100);
        return bob.told.length > again;
      });
      await ann.close();
      await bob.close();
      eve.close();
      dan.close();
    }));

// With a session of its own there, and without.
test('what a server refuses is refused, and what it takes is told when it changes: as directly, on stdio and at a URL',
  threeNodes('updates-taken', async (n1, n2, n3, mesh, address) => {
    const command = {command: nodejs, args: [fixture, '--stdio']}, nothing = 'test://nothing/at/all';
    const far = () => new HttpV1(new URL(address)), through = (node, path) => new HttpV1(new URL(url(node, path)));
    const ways = {
      'directly, stdio': [() => new StdioClientTransport(command)],
      'directly, URL': [far],
      'through two nodes, stdio': [() => through(n1, '/mcp/servers/old')],
      'through two nodes, URL': [() => through(n1, '/mcp/servers/far')],
      'at its node': [() => through(n2, '/mcp/servers/old')],
      'everything': [() => through(n3, '/mcp'), 'meshnode://old/', 'old__'],
    };
    const errors = [];
    for (const [way, [transport, prefix = '', name = '']] of Object.entries(ways))
      for (const capabilities of [{}, {elicitation: {}}]) {
        const client = await session(transport(), capabilities);
        for (let i = 0; i < 2; i++)
          errors.push(await client.subscribe(prefix + nothing).then(() => `${way}: taken`, ({code, message, data}) => ({code, message, data})));
        const call = uri => client.client.callTool({name: `${name}test_touch_resource`, arguments: {uri}});
        await client.subscribe(prefix + watched);
        await call('test://other');
        await sleep(300);
        assert.deepEqual(client.told, [], way);
        await call(watched);
        await waitFor(`${way}: told`, () => client.told.length > 0);
        await sleep(300);
        assert.deepEqual(client.told, [prefix + watched], way);
        await client.close();
      }
    for (const error of errors) assert.deepEqual(error, errors[0]);
    assert.equal(errors[0].code, -32050);
    // The mesh has resources of its own.
    const ann = await legacy(n1, '/mcp/servers/mesh');
    await assert.rejects(ann.subscribe('mesh://nothing'), {code: -32602});
    await ann.subscribe('mesh://nodes');
    await ann.close();
  }));
