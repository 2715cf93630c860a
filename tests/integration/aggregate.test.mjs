// The aggregated endpoint over real nodes: the same bytes everywhere, whatever hangs, stops or comes back.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {Client as ClientV1} from '@modelcontextprotocol/sdk/client/index.js';
import {StreamableHTTPClientTransport as HttpV1} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {ResourceUpdatedNotificationSchema} from '@modelcontextprotocol/sdk/types.js';
import {withMesh, waitFor, modern, ctl, ctlJson, bin, nodejs, url} from './lib/mesh.mjs';

const tool = {command: join(bin, 'mcp-tool-stdio')};
const long = `server-with-${'a-very-'.repeat(6)}long`; // 58 characters: every tool name is over 64
const list = async node => (await modern(node, 'tools/list')).text;
const names = async node => JSON.parse(await list(node)).result.tools.map(t => t.name);

async function listen(node, uris) {
  const abort = new AbortController(), told = [];
  const response = await fetch(url(node), {
    method: 'POST', signal: abort.signal,
    headers: {'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
    body: JSON.stringify({jsonrpc: '2.0', id: 'L', method: 'subscriptions/listen', params: {notifications: {resourceSubscriptions: uris},
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}}),
  });
  (async () => {
    for await (const bytes of response.body)
      for (const [, uri] of Buffer.from(bytes).toString().matchAll(/"uri":"(mesh:[^"]*)"/g)) told.push(uri);
  })().catch(() => {});
  return {told, close: () => abort.abort()};
}

test('/mcp of three nodes: order, names, a hung server, findings, updates', withMesh('aggregate', async mesh => {
  const quick = Object.fromEntries(Array.from({length: 19}, (_, i) => [`s${i}`, tool]));
  const hung = {command: nodejs, args: ['-e', 'setInterval(() => {}, 1000)']};
  const nodes = await mesh.cluster(3, {n1: {same: tool}, n2: {...quick, hung, [long]: tool}});
  const [n1, n2, n3] = nodes;

  await (async function nobodyWaitsForAHungServer() {
    const complete = text => Array.from({length: 19}, (_, i) => `"s${i}__echo"`).every(name => text.includes(name));
    const times = [];
    for (const node of nodes)
      await waitFor(`${node.name} lists nineteen servers`, async () => {
        const begin = performance.now(), text = await list(node);
        times.push(performance.now() - begin);
        return complete(text);
      });
    console.log(`# ${times.length} lists beside a hung server took ${Math.round(Math.min(...times))} to ${Math.round(Math.max(...times))} ms`);
    assert.ok(Math.min(...times) < 1000, 'no list was quick');
    assert.ok(!(await names(n3)).some(name => name.startsWith('hung__')));
    const finding = await waitFor('it is reported at another node', async () =>
      JSON.parse((await ctl(n3, '--json', 'doctor', '--node', 'all')).stdout).findings.find(f => /^server_(slow|down)$/.test(f.code)));
    assert.match(finding.message, /hung/);
    assert.deepEqual(finding.nodes, ['n2']);
    assert.match(finding.next, /servers logs hung/);
  })();

  await (async function longNames() {
    const ours = (await names(n1)).filter(name => name.startsWith('server-with'));
    assert.ok(ours.length > 1 && ours.every(name => /^[A-Za-z0-9_-]{1,64}$/.test(name)), ours.join());
    assert.equal(new Set(ours).size, ours.length);
    const short = ours.find(name => /_[0-9a-f]{8}$/.test(name));
    assert.ok(short, ours.join());
    for (const node of nodes) assert.deepEqual((await names(node)).filter(name => name.startsWith('server-with')), ours);
  })();

  await (async function updatesOfTheMeshItself() {
    const uris = ['mesh://nodes', 'mesh://tools', 'mesh://state', 'mesh://diagnosis'];
    const modernOne = await listen(n3, uris), told = [];
    const legacy = new ClientV1({name: 't', version: '0'}, {capabilities: {}});
    legacy.setNotificationHandler(ResourceUpdatedNotificationSchema, ({params}) => { told.push(params.uri); });
    await legacy.connect(new HttpV1(new URL(url(n1))));
    for (const uri of uris) await legacy.subscribeResource({uri});
    const both = (what, uri) => waitFor(`${what} is told in both eras`, () => modernOne.told.includes(uri) && told.includes(uri));
    assert.equal((await ctl(n2, 'state', 'put', 'k', 'v')).code, 0);
    await both('a key', 'mesh://state');
    assert.match((await legacy.readResource({uri: 'mesh://state'})).contents[0].text, /"key":"k"/);
    assert.equal((await ctl(n2, 'servers', 'add', 'more', '--', tool.command)).code, 0);
    await both('a server', 'mesh://tools');
    assert.equal((await ctl(n2, 'servers', 'rm', 'more')).code, 0);
    modernOne.told.length = told.length = 0;
    process.kill(n2.pid, 'SIGSTOP');
    try {
      // Whoever does not answer is named, and costs no more than the time that was given.
      const begin = performance.now();
      const {result} = (await modern(n1, 'tools/call', {name: 'mesh_diagnose', arguments: {timeout_ms: 300}})).message;
      console.log(`# a diagnosis beside a stopped node took ${result.structuredContent.took_ms} ms, ${Math.round(performance.now() - begin)} ms with its call`);
      assert.deepEqual(result.structuredContent.missing, ['n2']);
      assert.equal(result.structuredContent.answered, 2);
      assert.ok(result.structuredContent.score < 100);
      assert.equal((await ctl(n1, 'doctor', '--node', 'all')).code, 8);
      await both('a node that does not answer', 'mesh://nodes');
    } finally {
      process.kill(n2.pid, 'SIGCONT');
    }
    modernOne.close();
    await legacy.close();
    for (const node of nodes) await mesh.ready(node, 3);
  })();

  await (async function theSameBytesAlsoAfterARestart() {
    const steady = async what => waitFor(what, async () => {
      const texts = await Promise.all(nodes.map(list));
      return texts.every(text => text === texts[0]) && texts[0].includes('"s18__echo"') && texts[0].includes('same__echo') && texts[0];
    });
    const before = await steady('three nodes list the same bytes');
    await mesh.kill(n2);
    nodes[1] = await mesh.start('n2', {...n2.options, data: n2.data});
    for (const node of nodes) await mesh.ready(node, 3);
    assert.equal(await steady('and again after one was killed and came back'), before);
  })();

  await (async function aNameHasOneOwnerOrNone() {
    assert.match((await modern(n3, 'tools/call', {name: 'same__echo', arguments: {text: 'x'}})).text, /"content"/);
    assert.equal((await ctl(nodes[2], 'servers', 'add', 'same', '--', tool.command)).code, 0);
    for (const node of nodes) {
      await waitFor(`${node.name} keeps them apart`, async () => (await names(node)).includes('same_n3__echo'));
      const all = await names(node);
      assert.ok(all.includes('same_n1__echo') && !all.includes('same__echo'), all.join());
      assert.match((await modern(node, 'tools/call', {name: 'same__echo', arguments: {text: 'x'}})).message.error.message, /unknown tool/);
      const {status, message} = await modern(node, 'tools/list', {}, {path: '/mcp/servers/same'});
      assert.equal(status, 404);
      assert.match(message.error.message, /several different servers: use same\.NODE/);
    }
    const {result} = (await modern(n1, 'tools/call', {name: 'same_n3__echo', arguments: {text: 'to n3'}})).message;
    assert.match(JSON.stringify(result), /to n3/);
  })();
}));
