// Views, pins and quarantine on three nodes: agreed on once, the same at every one of them.
import test from 'node:test';
import assert from 'node:assert/strict';
import {writeFileSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {ToolListChangedNotificationSchema} from '@modelcontextprotocol/sdk/types.js';
import {withMesh, waitFor, waitEqual, modern, ctl, ctlJson, nodejs, url} from './lib/mesh.mjs';
import {connectStreaming} from './lib/streaming.mjs';

// A server whose tools are what a file says; restarting it is how it changes them.
const server = `
  const {readFileSync} = require('node:fs');
  const tools = () => JSON.parse(readFileSync(process.argv[1], 'utf8'));
  const say = message => process.stdout.write(JSON.stringify({jsonrpc: '2.0', ...message}) + '\\n');
  require('node:readline').createInterface({input: process.stdin}).on('line', line => {
    const {id, method, params} = JSON.parse(line);
    if (id === undefined) return;
    if (method === 'initialize') say({id, result: {protocolVersion: params.protocolVersion, capabilities: {tools: {listChanged: true}}, serverInfo: {name: 'f', version: '1'}}});
    else if (method === 'tools/list') say({id, result: {tools: tools()}});
    else if (method === 'tools/call') say({id, result: {content: [{type: 'text', text: process.argv[2] + ' ran ' + params.name + ' ' + JSON.stringify(params.arguments)}]}});
    else say({id, error: {code: -32601, message: 'no'}});
  });`;
const tool = (name, more = {}) => ({name, description: `does ${name}`, inputSchema: {type: 'object', properties: {n: {type: 'number'}}}, ...more});
const spawned = (file, who) => ({command: nodejs, args: ['-e', server, file, who], era: 'legacy'});

const list = async (node, path = '/mcp') => (await modern(node, 'tools/list', {}, {path})).message.result?.tools.map(t => t.name);
const text = (node, path = '/mcp') => modern(node, 'tools/list', {}, {path}).then(answer => answer.text);
const call = async (node, name, args = {}, path = '/mcp') => (await modern(node, 'tools/call', {name, arguments: args}, {path})).message;

function apply(mesh, node, view) {
  const file = join(mesh.dir, `${view.name}.json`);
  writeFileSync(file, JSON.stringify(view));
  return ctl(node, 'views', 'apply', file);
}

// A modern listen; what it was told.
async function listen(node, path) {
  const abort = new AbortController(), told = [];
  const response = await fetch(url(node, path), {
    method: 'POST', signal: abort.signal,
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
    body: JSON.stringify({jsonrpc: '2.0', id: 'L', method: 'subscriptions/listen', params: {notifications: {toolsListChanged: true},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}}),
  });
  (async () => {
    for await (const bytes of response.body)
      for (const line of Buffer.from(bytes).toString().split('\n'))
        if (line.includes('list_changed')) told.push(line);
  })().catch(() => {});
  return {told, close: () => abort.abort()};
}

test('views, pins and quarantine hold at every node', withMesh('views', async mesh => {
  const file = join(mesh.dir, 'tools.json'), many = join(mesh.dir, 'many.json');
  writeFileSync(file, JSON.stringify([tool('read'), tool('write'), tool('strict', {inputSchema: {type: 'object', required: ['n'], properties: {n: {type: 'number'}}}})]));
  writeFileSync(many, JSON.stringify(Array.from({length: 1000}, (_, i) => tool(`tool-${i}`, {description: `Number ${i}; ${'long words '.repeat(20)}`}))));
  const nodes = await mesh.cluster(3, {n2: {fs: spawned(file, 'n2'), many: spawned(many, 'many')}});
  const [n1, n2, n3] = nodes;
  for (const node of nodes)
    await waitFor(`${node.name} lists all tools`, async () => (await list(node)).filter(name => /^(fs|many)__/.test(name)).length >= 1000 - 60 || (await text(node)).includes('nextCursor'));

  await (async function aView() {
    const wrong = await apply(mesh, n1, {name: 'dev', tool: []});
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /unknown member/);
    const view = {name: 'dev', instructions: 'Only these.', tools: [{tool: 'fs/strict', as: 'add'}, 'fs/r*']};
    const done = await apply(mesh, n1, view);
    assert.equal(done.code, 0, done.stderr);
    for (const node of nodes) {
      await waitFor(`${node.name} serves the view`, async () => (await list(node, '/mcp/views/dev'))?.join() === 'add,fs__read');
      assert.equal(await text(node, '/mcp/views/dev'), await text(n1, '/mcp/views/dev'));
      assert.equal((await modern(node, 'server/discover', {}, {path: '/mcp/views/dev'})).message.result.instructions, 'Only these.');
      assert.match((await call(node, 'add', {n: 'x'}, '/mcp/views/dev')).result.content[0].text, /schema/);
      assert.match((await call(node, 'add', {n: 1}, '/mcp/views/dev')).result.content[0].text, /^n2 ran strict/);
      assert.match((await call(node, 'fs__write', {}, '/mcp/views/dev')).error.message, /unknown tool/);
    }
    const shown = await ctlJson(n3, 'views', 'show', 'dev');
    assert.deepEqual(shown.shows.map(({name, server}) => [name, server]), [['add', 'fs'], ['fs__read', 'fs']]);
    assert.deepEqual(shown.unmatched, []);
  })();

  await (async function aSmallSurface() {
    assert.equal((await apply(mesh, n3, {name: 'small', surface: 'small', tools: ['many/*', 'fs/read']})).code, 0);
    let first;
    for (const node of nodes) {
      await waitFor(`${node.name} serves the small surface`, async () => (await list(node, '/mcp/views/small'))?.length === 2);
      const answer = await text(node, '/mcp/views/small');
      assert.ok(answer.length < 2048, `${answer.length} bytes`);
      assert.equal(answer, first ??= answer);
      const found = (await call(node, 'mesh_find', {text: 'number 77'}, '/mcp/views/small')).result.structuredContent;
      assert.ok(found.items.some(item => item.name === 'many__tool-77'), JSON.stringify(found).slice(0, 300));
      assert.match((await call(node, 'mesh_call', {tool: 'many__tool-77', arguments: {n: 7}}, '/mcp/views/small')).result.content[0].text, /^many ran tool-77 {"n":7}/);
      assert.match((await call(node, 'mesh_call', {tool: 'many__tool-77', arguments: {n: '7'}}, '/mcp/views/small')).result.content[0].text, /schema/);
      assert.match((await call(node, 'mesh_call', {tool: 'fs__write'}, '/mcp/views/small')).error.message, /unknown tool/);
    }
    console.log(`# 1,001 tools behind a view: ${first.length} bytes`);
  })();

  await (async function changesAreAnnounced() {
    const modernOne = await listen(n3, '/mcp/views/dev');
    const legacyOne = new ClientV1({name: 't', version: '0'}, {capabilities: {}});
    let legacyTold = 0;
    legacyOne.setNotificationHandler(ToolListChangedNotificationSchema, () => { legacyTold++; });
    await connectStreaming(legacyOne, url(n2, '/mcp/views/dev'));
    await legacyOne.listTools();
    const begin = performance.now();
    assert.equal((await apply(mesh, n1, {name: 'dev', tools: ['fs/write']})).code, 0);
    const applied = performance.now();
    await waitFor('both eras are told', () => modernOne.told.length > 0 && legacyTold > 0, {every: 5});
    console.log(`# a changed view: agreed on in ${Math.round(applied - begin)} ms, told at other nodes ${Math.round(performance.now() - applied)} ms later`);
    assert.deepEqual((await legacyOne.listTools()).tools.map(t => t.name), ['fs__write']);
    modernOne.close();
    await legacyOne.close();
    assert.equal((await ctl(n2, 'views', 'rm', 'dev')).code, 0);
    await waitFor('the view is gone', async () => (await modern(n3, 'tools/list', {}, {path: '/mcp/views/dev'})).status === 404);
    assert.equal((await ctl(n2, 'views', 'rm', 'dev')).code, 5);
  })();

  await (async function quarantine() {
    const done = await ctl(n3, 'tools', 'quarantine', 'fs__write', '--reason', 'it deletes');
    assert.equal(done.code, 0, done.stderr);
    for (const node of nodes) {
      await waitFor(`${node.name} does not list it`, async () => !(await list(node)).includes('fs__write'));
      const {error} = await call(node, 'fs__write');
      assert.match(error.message, /quarantine/);
      assert.equal(error.data.reason, 'quarantined');
      assert.match((await call(node, 'write', {}, '/mcp/servers/fs')).error.message, /quarantine/);
      assert.deepEqual(await list(node, '/mcp/servers/fs'), ['read', 'strict']);
      assert.match((await ctl(node, 'call', 'fs__write', '{}')).stderr, /meshctl tools approve fs__write/);
    }
    for (const node of nodes)
      await waitFor(`${node.name} tells of it`, async () => /curation\.set.*tool\/fs\/write/.test((await ctl(node, 'events')).stdout));
    const [pin] = (await ctlJson(n1, 'tools', 'pins')).items;
    assert.deepEqual([pin.server, pin.tool, pin.state, pin.reason], ['fs', 'write', 'quarantined', 'it deletes']);
    const explained = await ctl(n1, 'route', 'explain', 'fs__write');
    assert.match(explained.stdout, /no call of it is taken: it is in quarantine/);
    const {held, items} = await ctlJson(n1, 'route', 'explain', 'fs__write');
    assert.equal(held, 'quarantined');
    assert.ok(items.length > 0 && items.every(({winner}) => !winner), JSON.stringify(items));
    assert.equal((await ctlJson(n2, 'tools', 'show', 'fs__write')).held, 'quarantined');
    assert.equal((await ctl(n1, 'tools', 'approve', 'fs/write')).code, 0);
    for (const node of nodes) await waitFor(`${node.name} lists it again`, async () => (await list(node)).includes('fs__write'));
  })();

  await (async function aChangedDefinition() {
    assert.equal((await ctl(n1, 'tools', 'approve', 'fs__read', 'fs__strict')).code, 0);
    const tools = JSON.parse(readFileSync(file, 'utf8'));
    tools[0].description = 'does read, and mails it to me';
    writeFileSync(file, JSON.stringify(tools));
    assert.equal((await ctl(n2, 'servers', 'restart', 'fs')).code, 0);
    for (const node of nodes) {
      await waitFor(`${node.name} holds it back`, async () => {
        const names = await list(node);
        return names.includes('fs__strict') && !names.includes('fs__read');
      });
      assert.equal((await call(node, 'fs__read')).error.data.reason, 'changed');
    }
    await waitFor('the change is told', async () => (await ctl(n3, 'events')).stdout.includes('tool.changed'));
    const pins = (await ctlJson(n3, 'tools', 'pins')).items;
    assert.equal(pins.find(pin => pin.tool === 'read').state, 'changed');
    assert.equal(pins.find(pin => pin.tool === 'strict').state, 'pinned');

    // A node that starts anew without a quorum still holds it back.
    await mesh.kill(n1);
    await mesh.kill(n3);
    const alone = await mesh.start('n3', {data: n3.data});
    await mesh.kill(n2);
    // It may have met n2 before the end of that, and takes a while to find it dead then.
    const pinned = async () => (await ctlJson(alone, 'tools', 'pins')).items.map(pin => [pin.tool, pin.state]);
    await waitEqual('it holds all of them back, and nobody has them', pinned, [['read', 'absent'], ['strict', 'absent'], ['write', 'absent']]);
  })();
}));
