// What a server shows only to clients with certain capabilities or extensions: each client sees through two nodes what it
// sees of the server itself, in all eras, and hears of changes to that alone.
import test from 'node:test';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {StdioClientTransport} from '@modelcontextprotocol/sdk/client/stdio.js';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, ctl, ctlJson, modern, nodejs, everything, everythingHttp, descendants, url, sleep, root, portIn} from './lib/mesh.mjs';
import {connectStreaming} from './lib/streaming.mjs';

const shy = join(root, 'tests', 'integration', 'lib', 'shy.mjs'), apps = join(root, 'tests', 'integration', 'lib', 'apps.mjs');
const ui = {'io.modelcontextprotocol/ui': {mimeTypes: ['text/html;profile=mcp-app']}}, own = {'com.example/own': {level: 1}};
const modernOnly = {pin: '2026-07-28'};
const sets = [{}, {sampling: {}}, {elicitation: {}}, {elicitation: {url: {}}}, {elicitation: {form: {}, url: {}}}, {roots: {}},
  {sampling: {}, elicitation: {}}, {sampling: {}, tasks: {requests: {sampling: {createMessage: {}}}}},
  {sampling: {}, elicitation: {}, tasks: {requests: {sampling: {createMessage: {}}, elicitation: {create: {}}}}}, {sampling: {}, roots: {listChanged: true}}, {sampling: {}, elicitation: {form: {}, url: {}}, roots: {}}];
const extended = [{extensions: ui}, {extensions: {'io.modelcontextprotocol/ui': {mimeTypes: ['text/plain']}}}, {extensions: {'io.modelcontextprotocol/tasks': {}}},
  {extensions: own}, {experimental: {try: {}}}, {extensions: {'com.example/unknown': {}}, experimental: {unknown: {}}}, {extensions: ui, elicitation: {}},
  {extensions: {...own, ...ui}, experimental: {try: {}}}, {extensions: {...own, ...ui}, roots: {}, sampling: {}}];

async function v1(transport, capabilities) {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities});
  await client.connect(transport);
  return client;
}
const legacyAt = (node, path, capabilities) => v1(new HttpV1(new URL(url(node, path))), capabilities);
async function listeningAt(node, path, capabilities) {
  const client = new ClientV1({name: 'test', version: '0'}, {capabilities});
  await connectStreaming(client, url(node, path));
  return client;
}
async function modernAt(node, path, capabilities) {
  const client = new Client({name: 'test', version: '0'}, {capabilities, versionNegotiation: {mode: modernOnly}});
  // A server may ask for roots as soon as a session begins, and the call waits for them if that takes a while.
  if (capabilities.roots) client.setRequestHandler('roots/list', () => ({roots: []}));
  await client.connect(new StreamableHTTPClientTransport(new URL(url(node, path))));
  return client;
}

const kinds = [['tools', 'listTools'], ['prompts', 'listPrompts'], ['resources', 'listResources'], ['resourceTemplates', 'listResourceTemplates']];
async function all(client) {
  const seen = {};
  for (const [member, list] of kinds) seen[member] = (await client[list]())[member];
  return seen;
}
// Modern clients know no `execution`; at /mcp a name begins with its server's.
const plain = (seen, prefix = '') => JSON.parse(JSON.stringify(seen), (key, value) =>
  key === 'execution' ? undefined : key === 'name' && typeof value === 'string' && value.startsWith(prefix) ? value.slice(prefix.length) : value);
const ofServer = (seen, server) => plain(Object.fromEntries(kinds.map(([member]) => [member, seen[member].filter(({name, uri}) =>
  !(name ?? '').startsWith('mesh_') && !(uri ?? '').startsWith('mesh://') && !(uri ?? '').startsWith('ui://meshnode'))])), `${server}__`);
const withoutMesh = seen => ({...seen, resourceTemplates: seen.resourceTemplates.filter(({uriTemplate}) => !uriTemplate.startsWith('mesh://'))});

const names = seen => seen.tools.map(({name}) => name);

// Calls that end alike: with a result, or with an error's code and text.
async function outcome(client, name) {
  try {
    return {result: (({content, isError}) => ({content, isError: isError === true}))(await client.callTool({name, arguments: {}}))};
  } catch (error) {
    return {code: error.code};
  }
}

async function known(node, name, count) {
  await waitFor(`${node.name} knows what ${name} shows to whom`, async () =>
    (await ctlJson(node, 'tools', 'ls')).items.filter(tool => tool.server === name && tool.needs !== null).length >= count);
}

// [direct]: a client of the server itself, by capabilities.
async function compare(nodes, server, direct, declared = sets) {
  for (const capabilities of declared) {
    const what = JSON.stringify(capabilities);
    const itself = await direct(capabilities), expected = await all(itself);
    await itself.close();
    for (const node of nodes)
      for (const [era, open] of [['legacy', legacyAt], ['modern', modernAt]]) {
        const one = await open(node, `/mcp/servers/${server}`, capabilities);
        const seen = await all(one);
        await one.close();
        if (era === 'legacy') assert.deepEqual(seen, expected, `${what} at ${node.name}, ${era}`);
        assert.deepEqual(plain(seen), plain(expected), `${what} at ${node.name}, ${era}`);
        const many = await open(node, '/mcp', capabilities);
        const {tools, prompts, resources, resourceTemplates} = ofServer(withoutMesh(await all(many)), server);
        await many.close();
        const wanted = plain(expected);
        assert.deepEqual({tools, prompts}, {tools: wanted.tools, prompts: wanted.prompts}, `${what} at /mcp of ${node.name}, ${era}`);
        assert.deepEqual([resources.map(({uri}) => uri), resourceTemplates.map(({uriTemplate}) => uriTemplate)],
          [wanted.resources.map(({uri}) => uri), wanted.resourceTemplates.map(({uriTemplate}) => uriTemplate)], `${what} at /mcp of ${node.name}, ${era}`);
      }
  }
}

const reference = [nodejs, [everything, 'stdio']];
const overStdio = ([command, args]) => capabilities => v1(new StdioClientTransport({command, args, stderr: 'ignore'}), capabilities);

test('the reference server on stdio shows each client its own lists', withMesh('audience', async mesh => {
  const nodes = await mesh.cluster(2, {n2: {everything: {command: reference[0], args: reference[1]}}});
  for (const node of nodes) await known(node, 'everything', 6);
  await waitFor('one process is left: its helper and the server', () => descendants(nodes[1].pid).length === 2);
  await compare(nodes, 'everything', overStdio(reference));
  const needs = Object.fromEntries((await ctlJson(nodes[0], 'tools', 'ls')).items.filter(tool => tool.needs).map(tool => [tool.tool, tool.needs]));
  assert.deepEqual(needs, {'get-roots-list': 'roots', 'trigger-elicitation-request': 'elicitation or elicitation.url',
    'trigger-url-elicitation': 'elicitation.url', 'trigger-sampling-request': 'sampling', 'trigger-sampling-request-async': 'sampling+tasks',
    'trigger-elicitation-request-async': 'elicitation+tasks'});
  // Operators hold such a tool back as any other.
  const askable = {'io.modelcontextprotocol/clientCapabilities': {sampling: {}}};
  const sees = async () => (await modern(nodes[0], 'tools/list', {_meta: askable})).message.result.tools.some(({name}) => name === 'everything__trigger-sampling-request');
  assert.ok(await sees());
  assert.equal((await ctl(nodes[1], 'tools', 'quarantine', 'everything__trigger-sampling-request', '--reason', 'it asks')).code, 0);
  await waitFor('it is gone', async () => !await sees());
  assert.equal((await ctl(nodes[1], 'tools', 'unpin', 'everything__trigger-sampling-request')).code, 0);
  await waitFor('it is back', sees);
  // Who calls what it is not shown hears what the server says of it.
  const itself = await overStdio(reference)({});
  const expected = await outcome(itself, 'trigger-sampling-request');
  await itself.close();
  assert.ok(expected.code || expected.result.isError, 'the server refuses it');
  for (const [path, name] of [['/mcp/servers/everything', 'trigger-sampling-request'], ['/mcp', 'everything__trigger-sampling-request']]) {
    const client = await legacyAt(nodes[0], path, {});
    assert.deepEqual(await outcome(client, name), expected, path);
    await client.close();
  }
}));

test('the reference server at a URL shows each client its own lists', withMesh('audience-http', async mesh => {
  const address = `http://127.0.0.1:${await everythingHttp(mesh)}/mcp`;
  const nodes = await mesh.cluster(2, {n2: {everything: {url: address}}});
  for (const node of nodes) await known(node, 'everything', 6);
  await compare(nodes, 'everything', capabilities => v1(new HttpV1(new URL(address)), capabilities));
}));

// What is called reaches the server as from a client that declares what its caller does.
async function calls(nodes, server, direct) {
  for (const capabilities of [{}, ...extended]) {
    const itself = await direct(capabilities);
    for (const [name, needed] of [['weather'], ['refresh', 'mcp-app'], ['own', 'com.example/own'], ['try', '"try"'], ['last']]) {
      const expected = await outcome(itself, name);
      assert.equal(expected.result !== undefined, !needed || JSON.stringify(capabilities).includes(needed), `${name} for ${JSON.stringify(capabilities)}`);
      for (const [path, called] of [[`/mcp/servers/${server}`, name], ['/mcp', `${server}__${name}`]])
        for (const open of [legacyAt, modernAt]) {
          const client = await open(nodes[0], path, capabilities);
          assert.deepEqual(await outcome(client, called), expected, `${called} at ${path}, ${open.name}, for ${JSON.stringify(capabilities)}`);
          await client.close();
        }
    }
    await itself.close();
  }
}

test('a server of MCP Apps shows user interfaces to those that can show them', withMesh('audience-apps', async mesh => {
  const nodes = await mesh.cluster(2, {n2: {apps: {command: nodejs, args: [apps]}}});
  for (const node of nodes) await known(node, 'apps', 1);
  const direct = overStdio([nodejs, [apps]]);
  await compare(nodes, 'apps', direct, [{}, {extensions: ui}, {extensions: {'io.modelcontextprotocol/ui': {}}}, {extensions: ui, sampling: {}}]);
  for (const capabilities of [{}, {extensions: ui}]) {
    const itself = await direct(capabilities), expected = [await outcome(itself, 'weather'), await outcome(itself, 'refresh')];
    await itself.close();
    for (const open of [legacyAt, modernAt]) {
      const client = await open(nodes[0], '/mcp/servers/apps', capabilities);
      assert.deepEqual([await outcome(client, 'weather'), await outcome(client, 'refresh')], expected, `${open.name} ${JSON.stringify(capabilities)}`);
      await client.close();
    }
  }
  const host = await legacyAt(nodes[0], '/mcp', {extensions: ui});
  const shown = (await host.listTools()).tools.find(({name}) => name === 'apps__weather')._meta.ui.resourceUri;
  assert.equal((await host.readResource({uri: shown})).contents[0].text, '<!doctype html>');
  await host.close();
}));

for (const era of ['legacy', 'modern'])
  test(`a ${era} server at a URL with more of that kind`, withMesh(`audience-url-${era}`, async mesh => {
    const diary = join(mesh.dir, 'diary');
    mesh.processes.push(spawn(nodejs, [shy, diary, era, 'http'], {stdio: 'ignore'}));
    const port = await portIn('it', `${diary}.port`);
    const nodes = await mesh.cluster(2, {n2: {shy: {url: `http://127.0.0.1:${port}/mcp`}}});
    for (const node of nodes) await known(node, 'shy', 11);
    const direct = overStdio([nodejs, [shy, diary, 'legacy']]);
    await compare(nodes, 'shy', direct, [{}, {elicitation: {}}, ...extended]);
    await calls(nodes, 'shy', direct);
  }));

for (const era of ['legacy', 'modern'])
  test(`a ${era} server with more of that kind, and what changes`, withMesh(`audience-${era}`, async mesh => {
    const diary = join(mesh.dir, 'diary');
    const server = [nodejs, [shy, diary, era]];
    const nodes = await mesh.cluster(2, {n2: {shy: {command: server[0], args: server[1]}}});
    for (const node of nodes) await known(node, 'shy', 11);
    const direct = overStdio([nodejs, [shy, diary, 'legacy']]);
    await compare(nodes, 'shy', direct, [...sets, ...extended]);
    await calls(nodes, 'shy', direct);
    // mesh_find finds it for those that may see it.
    const find = async capabilities => (await modern(nodes[0], 'tools/call', {name: 'mesh_find', arguments: {text: 'shy__ask'},
      _meta: {'io.modelcontextprotocol/clientCapabilities': capabilities}})).message.result.structuredContent.total;
    assert.deepEqual([await find({}), await find({elicitation: {}})], [0, 1]);
    // A change to what only some see is told to these, and to no other.
    const told = {askable: 0, others: 0};
    const open = [];
    for (const [who, capabilities] of [['askable', {elicitation: {}}], ['others', {sampling: {}}]])
      for (const connect of [listeningAt, modernAt]) {
        const client = await connect(nodes[0], '/mcp', capabilities);
        open.push(client);
        await client.listTools();
        if (connect === listeningAt) {
          const {ToolListChangedNotificationSchema} = await import('@modelcontextprotocol/sdk/types.js');
          client.setNotificationHandler(ToolListChangedNotificationSchema, () => { told[who]++; });
        } else {
          client.setNotificationHandler('notifications/tools/list_changed', () => { told[who]++; });
          await client.listen({toolsListChanged: true});
        }
      }
    const caller = await legacyAt(nodes[1], '/mcp/servers/shy', {});
    await caller.callTool({name: 'change', arguments: {}});
    await caller.close();
    await waitFor('those that see it are told', () => told.askable >= 2);
    for (const client of open.slice(0, 2)) assert.ok(names(await client.listTools()).includes('shy__ask-2'));
    await sleep(1000);
    assert.equal(told.others, 0);
    for (const client of open) await client.close();
    if (era === 'modern')
      assert.equal(new Set(readFileSync(diary, 'utf8').split('\n').filter(line => line.includes('server/discover')).map(line => line.split(' ')[0])).size, 1,
        'a modern server has no process for it');
  }));

for (const how of ['exit', 'hang', 'refuse'])
  for (const era of ['legacy', 'modern'])
    test(`a ${era} server that is asked and breaks (${how}) keeps its normal lists`, withMesh(`audience-${how}-${era}`, async mesh => {
      const nodes = await mesh.cluster(2, {n2: {shy: {command: nodejs, args: [shy, join(mesh.dir, 'diary'), era, how]}}});
      await waitFor('n1 lists it', async () => (await modern(nodes[0], 'tools/list')).message.result.tools.some(({name}) => name === 'shy__echo'));
      await waitFor('what was tried is told', async () => (await ctlJson(nodes[1], 'servers', 'show', 'shy')).lists_error, {limit: 90_000});
      await waitFor('it serves', async () => (await modern(nodes[0], 'tools/call', {name: 'shy__echo', arguments: {}})).message.result?.content[0].text === 'echo');
      assert.deepEqual((await modern(nodes[0], 'tools/list', {}, {path: '/mcp/servers/shy'})).message.result.tools.map(({name}) => name), ['echo', 'change', 'alone', 'weather', 'last']);
    }));
