// Everything MCP has, across two nodes: the server at n2, clients of both eras at n1.
import test from 'node:test';
import assert from 'node:assert/strict';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, modern, nodejs, everything, url} from './lib/mesh.mjs';

const servers = {everything: {command: nodejs, args: [everything, 'stdio']}};

const twoNodes = (name, body) => withMesh(name, async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: servers});
  await waitFor('n1 lists everything__echo', async () =>
    (await modern(n1, 'tools/list')).message.result.tools.some(tool => tool.name === 'everything__echo'));
  await body(n1, n2, mesh);
});

async function v1(node, path = '/mcp', capabilities = {}) {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities});
  await client.connect(new HttpV1(new URL(url(node, path))));
  return client;
}

async function v2(node, mode, path = '/mcp', capabilities = {}) {
  const client = new Client({name: 'test', version: '0'}, {capabilities, versionNegotiation: {mode}});
  await client.connect(new StreamableHTTPClientTransport(new URL(url(node, path))));
  return client;
}

// The clients a check runs with: [what it is, how prompts are called there, the client].
const clients = async node => [
  ['v1 /mcp', 'everything__', await v1(node)],
  ['v1 alone', '', await v1(node, '/mcp/servers/everything')],
  ['v2 legacy', 'everything__', await v2(node, 'legacy')],
  ['v2 modern', 'everything__', await v2(node, {pin: '2026-07-28'})],
  ['v2 modern alone', '', await v2(node, {pin: '2026-07-28'}, '/mcp/servers/everything')],
];

test('prompts, resources, templates, completion: every era, both endpoints', twoNodes('primitives', async n1 => {
  for (const [what, prefix, client] of await clients(n1)) {
    const {prompts} = await client.listPrompts();
    assert.ok(prompts.some(prompt => prompt.name === `${prefix}args-prompt`), `${what}: ${prompts.map(p => p.name)}`);
    const prompt = await client.getPrompt({name: `${prefix}args-prompt`, arguments: {city: 'Oslo'}});
    assert.match(JSON.stringify(prompt.messages), /Oslo/, what);
    const {resources} = await client.listResources();
    assert.ok(resources.length > 0, what);
    const {contents} = await client.readResource({uri: resources[0].uri});
    assert.equal(contents[0].uri, resources[0].uri, what);
    const {resourceTemplates} = await client.listResourceTemplates();
    assert.ok(resourceTemplates.length > 0, what);
    const text = resourceTemplates.find(template => template.uriTemplate.includes('text'));
    const dynamic = await client.readResource({uri: text.uriTemplate.replace(/\{.*?\}/, '1')});
    assert.match(JSON.stringify(dynamic.contents), /1/, what);
    const {completion} = await client.complete({ref: {type: 'ref/prompt', name: `${prefix}completable-prompt`},
      argument: {name: 'department', value: 'E'}});
    assert.ok(completion.values.includes('Engineering'), `${what}: ${completion.values}`);
    await assert.rejects(client.readResource({uri: 'nobody://has/this'}), error => [-32602, -32002].includes(error.code), what);
    await assert.rejects(client.getPrompt({name: `${prefix}none`}), /-32602|not found|unknown/i, what);
    await client.close();
  }
}));

test('log levels are a matter of each session', twoNodes('levels', async n1 => {
  const client = await v1(n1);
  await client.setLoggingLevel('debug');
  await assert.rejects(client.setLoggingLevel('loud'));
  await client.close();
}));
