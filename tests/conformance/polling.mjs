// A server that ends its stream in the middle of a call, to be asked again (SSE polling, 2025-11-25), behind two nodes: the
// clients of both SDKs get their answer, also one that comes back at another node, and one that does not know of it is spared.
// usage: node polling.mjs (BIN_UNDER_TEST: the programs' folder)
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import * as v2 from '@modelcontextprotocol/client';
import {withMesh, waitFor, modern, modules, sleep, url} from '../integration/lib/mesh.mjs';
import {fixture} from './fixture/start.mjs';

const path = '/mcp/servers/polls', tool = 'test_reconnection';
const v1 = name => import(pathToFileURL(join(modules, '@modelcontextprotocol', 'sdk', 'dist', 'esm', 'client', `${name}.js`)));
const good = /Reconnection test completed successfully/;

// What a client of an SDK sees: its calls side by side, and one after them.
async function bySdk(name, {Client, StreamableHTTPClientTransport}, node) {
  const client = new Client({name, version: '1'}, {capabilities: {sampling: {}, elicitation: {}}});
  await client.connect(new StreamableHTTPClientTransport(new URL(url(node, path))));
  const answers = await Promise.all(Array.from({length: 5}, () => client.callTool({name: tool, arguments: {}})));
  answers.push(await client.callTool({name: 'test_simple_text', arguments: {}}));
  for (const {content} of answers.slice(0, 5)) assert.match(content[0].text, good);
  assert.match(answers[5].content[0].text, /simple text/);
  await client.close();
  console.log(`polling: ${name}: ${answers.length} answers`);
}

class ByHand {
  static async open(node, version) {
    const client = Object.assign(new ByHand(), {version});
    const response = await client.post(node, {id: 0, method: 'initialize', params: {protocolVersion: version, capabilities: {elicitation: {}}, clientInfo: {name: 'hand', version: '1'}}});
    client.session = response.headers.get('mcp-session-id');
    await response.text();
    return client;
  }

  headers(more) {
    return {accept: 'application/json, text/event-stream', ...more,
      ...(this.session ? {'mcp-session-id': this.session, 'mcp-protocol-version': this.version} : {})};
  }

  post(node, message) {
    return fetch(url(node, path), {method: 'POST', headers: this.headers({'content-type': 'application/json'}), body: JSON.stringify({jsonrpc: '2.0', ...message})});
  }

  call(node) {
    return this.post(node, {id: 7, method: 'tools/call', params: {name: tool, arguments: {}}});
  }

  again(node, last) {
    return fetch(url(node, path), {headers: this.headers({accept: 'text/event-stream', 'last-event-id': last})});
  }
}

async function atNode(first, next) {
  const client = await ByHand.open(first, '2025-11-25'), text = await (await client.call(first)).text();
  assert.doesNotMatch(text, good, 'the stream ends before the answer');
  const [, last] = [...text.matchAll(/^id: (.*)$/gm)].at(-1), [, retry] = [...text.matchAll(/^retry: (\d+)$/gm)].at(-1);
  assert.equal(retry, '500', 'as the server says');
  await sleep(Number(retry));
  const response = await client.again(next, last);
  assert.equal(response.status, 200);
  assert.match(await response.text(), good);
  console.log(`polling: begun at ${first.name}, taken up again at ${next.name}`);
}

await withMesh('polling', async mesh => {
  const [n1, , n3] = await mesh.cluster(3, {n2: {polls: {url: await fixture(mesh), era: 'legacy'}}});
  for (const node of [n1, n3])
    await waitFor(`${node.name} serves it`, async () => (await modern(node, 'tools/list', {}, {path})).message.result);
  await bySdk('SDK v2', v2, n1);
  await bySdk('SDK v1', {...await v1('index'), ...await v1('streamableHttp')}, n1);
  await atNode(n1, n1);
  await atNode(n1, n3);
  const older = await ByHand.open(n1, '2025-06-18');
  assert.match(await (await older.call(n1)).text(), good);
  const {message} = await modern(n1, 'tools/call', {name: tool, arguments: {}}, {path, headers: {'mcp-name': tool}});
  assert.match(message.result.content[0].text, good);
  console.log('polling: older and modern clients are answered at once');
})();
