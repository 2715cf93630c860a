// Resources of several servers at /mcp of real nodes: one URI on two servers, templates that overlap, links that lead nowhere
// but to their server, and resources that nobody lists.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, modern, url} from './lib/mesh.mjs';
import {museum} from './lib/museum.mjs';

const legacy = async node => {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities: {}});
  await client.connect(new HttpV1(new URL(url(node))));
  return client;
};
const stateless = async node => {
  const client = new Client({name: 'test', version: '0'}, {capabilities: {}, versionNegotiation: {mode: {pin: '2026-07-28'}}});
  await client.connect(new StreamableHTTPClientTransport(new URL(url(node))));
  return client;
};
const uriOf = ({uri, resource}) => uri ?? resource?.uri;

test('one URI on two servers, overlapping templates, links and resources that nobody lists', withMesh('resources', async mesh => {
  const servers = [await museum('legacy', 'uffizi'), await museum('modern', 'prado')];
  const nodes = await mesh.cluster(3, {n1: {uffizi: {url: servers[0].url}}, n2: {prado: {url: servers[1].url}}});
  const lists = async node => (await modern(node, 'resources/list')).message.result.resources.map(({uri}) => uri);
  for (const node of nodes)
    await waitFor(`${node.name} lists both`, async () => (await lists(node)).filter(uri => uri.endsWith('/x://one')).length === 2);

  const same = await Promise.all(nodes.map(async node => [await lists(node), (await modern(node, 'resources/templates/list')).text]));
  assert.deepEqual(same[1], same[0]);
  assert.deepEqual(same[2], same[0]);
  assert.ok(!same[0][0].includes('x://one'));

  for (const node of nodes)
    for (const [era, client] of [['legacy', await legacy(node)], ['modern', await stateless(node)]]) {
      const read = async uri => {
        const {contents} = await client.readResource({uri});
        assert.equal(contents[0].uri, uri);
        return contents[0].text;
      };
      const what = `${era} client at ${node.name}`;
      await assert.rejects(client.readResource({uri: 'x://one'}), /meshnode:\/\/prado\/x:\/\/one/, what);
      for (const name of ['uffizi', 'prado']) {
        assert.match(await read(`meshnode://${name}/x://one`), new RegExp(`of ${name}$`), what);
        assert.match(await read(`x://t/${name}-5`), new RegExp(`of ${name}$`), `${what}: the narrower template`);
        assert.match(await read(`only://${name}/y`), new RegExp(`of ${name}$`), `${what}: nobody lists it, one has it`);
        // Whatever a server links to is read from that server.
        const {content} = await client.callTool({name: `${name}__links`, arguments: {}});
        const links = content.map(uriOf).filter(uri => !uri.startsWith('https:'));
        assert.equal(links.length, 4);
        for (const uri of links) assert.match(await read(uri), new RegExp(`of ${name}$`), `${what}: ${name} links to ${uri}`);
        assert.ok(content.some(block => uriOf(block) === 'https://e.example/'), 'the web is the client\'s own');
        const prompt = (await client.listPrompts()).prompts.find(prompt => prompt.name.startsWith(`${name}__`));
        const {messages} = await client.getPrompt({name: prompt.name, arguments: {a: 'x'}});
        assert.match(await read(uriOf(messages[1].content)), new RegExp(`of ${name}$`), `${what}: the prompt of ${name}`);
        const {tools} = await client.listTools();
        const {ui} = tools.find(tool => tool.name === `${name}__odd`)._meta;
        assert.match(await read(ui.resourceUri), new RegExp(`of ${name}$`), `${what}: the app of ${name}`);
      }
      await assert.rejects(client.readResource({uri: 'only://nobody/y'}), error => error.code === (era === 'legacy' ? -32002 : -32602), what);
      await client.close();
    }

  // The id of a session is nothing to a modern request.
  const stray = await modern(nodes[0], 'resources/read', {uri: 'meshnode://nobody/x'}, {headers: {'mcp-session-id': 'stray'}});
  assert.deepEqual([stray.status, stray.message.error.code], [200, -32602]);

  // Alone, a server's links are as it wrote them.
  servers[0].close();
  await mesh.kill(nodes[0]);
  await waitFor('one is left', async () => (await lists(nodes[2])).includes('x://one'));
  const {result} = (await modern(nodes[2], 'tools/call', {name: 'prado__links'})).message;
  assert.deepEqual(result.content.map(uriOf), ['x://one', 'nobody://lists/this', 'x://t/7', 'x://one', 'https://e.example/']);
  servers[1].close();
}));
