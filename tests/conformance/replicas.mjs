// Two replicas of one server, one of which is killed in the moment in which its tools change: clients at a third node, of both
// eras, have every call of a tool that only reads answered, at the server's own endpoint and at /mcp.
// usage: node replicas.mjs (BIN_UNDER_TEST: the programs' folder)
import assert from 'node:assert/strict';
import {ctlJson, withMesh, waitFor, modern, sleep, url} from '../integration/lib/mesh.mjs';
import {fixture} from './fixture/start.mjs';

const name = 'twice', path = `/mcp/servers/${name}`, plain = /simple text response/;
const rounds = [0, 30, 100, 250, 600]; // ms from the change to the death

async function bySession(node) {
  const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
  const post = message => fetch(url(node, path), {method: 'POST', headers, body: JSON.stringify({jsonrpc: '2.0', ...message})});
  const response = await post({id: 0, method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {sampling: {}}, clientInfo: {name: 'replicas', version: '1'}}});
  await response.text();
  headers['mcp-session-id'] = response.headers.get('mcp-session-id');
  return tool => post({id: 1, method: 'tools/call', params: {name: tool, arguments: {}}}).then(answer => answer.text());
}

const byRequest = (node, path, prefix = '') => async tool => JSON.stringify(
  (await modern(node, 'tools/call', {name: prefix + tool, arguments: {}}, {path, headers: {'mcp-name': prefix + tool}})).message);

// Calls until it is told to stop, and says what was not answered.
function caller(who, call) {
  const all = {who, count: 0, failed: [], isOver: false};
  all.done = (async () => {
    while (!all.isOver) {
      const text = await call('test_simple_text').catch(error => `${error}`);
      all.count++;
      if (!plain.test(text)) all.failed.push(text.slice(0, 400));
    }
  })();
  return all;
}

await withMesh('replicas', async mesh => {
  const direct = await fixture(mesh), servers = {[name]: {url: direct, replica: true}};
  let [n1, , n3] = await mesh.cluster(3, {n2: servers, n3: servers});
  const both = () => waitFor('both replicas take calls', async () => {
    const tool = await ctlJson(n1, 'tools', 'show', `${name}__test_simple_text`);
    return tool.nodes === 2 && tool.health === 'ok';
  });
  let count = 0;
  const failed = [];
  for (const delay of rounds) {
    await both();
    const callers = [caller('legacy', await bySession(n1)), caller('modern', byRequest(n1, path)), caller('/mcp', byRequest(n1, '/mcp', `${name}__`))];
    await sleep(200);
    await byRequest(n1, path)('test_trigger_tool_change');
    await sleep(delay);
    await mesh.kill(n3);
    await sleep(2500);
    callers.forEach(each => { each.isOver = true; });
    for (const each of callers) {
      await each.done;
      count += each.count;
      failed.push(...each.failed.map(text => `${delay} ms after the change, ${each.who}: ${text}`));
    }
    n3 = await mesh.start('n3', {data: n3.data, listen: n3.mesh, servers});
    await mesh.ready(n3, 3);
  }
  console.log(`replicas: ${count} calls in ${rounds.length} rounds, ${failed.length} not answered`);
  assert.deepEqual(failed, []);
  assert.ok(count > 100, 'hardly anything was called');
})();
