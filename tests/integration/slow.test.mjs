// Paths that are long and bad, on real sockets: delay, loss, resets.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {withMesh, waitFor, ctlJson, modern, bin, sleep} from './lib/mesh.mjs';
import {Proxy} from './lib/proxy.mjs';

const tool = {tool: {command: join(bin, 'mcp-tool-stdio')}};
const counter = node => modern(node, 'tools/call', {name: 'tool__counter', arguments: {}});

// Two nodes that reach each other through a proxy only, whoever dials; n2 has the server.
const farApart = (name, path, body) => withMesh(name, async mesh => {
  const proxies = [await new Proxy(path).listen(), await new Proxy(path).listen()];
  try {
    const n1 = await mesh.found('n1', {args: ['--advertise', proxies[0].address]});
    proxies[0].target = n1.mesh;
    const n2 = await mesh.start('n2', {join: proxies[0].address, token: n1.token, servers: tool, args: ['--advertise', proxies[1].address]});
    proxies[1].target = n2.mesh;
    await mesh.ready(n1, 2);
    await waitFor('n1 lists the tool', async () => (await modern(n1, 'tools/list')).message.result.tools.some(t => t.name === 'tool__counter'));
    await body(n1, n2, proxies);
  } finally {
    await mesh.stop();
    for (const proxy of proxies) proxy.close();
  }
});

test('300 ms of round trip and 5 % of loss: nobody is declared dead, every call is answered', farApart('far', {delay: 150, jitter: 50, loss: 0.05}, async (n1, n2, proxies) => {
  const calls = [];
  for (let i = 0; i < 100; i++) {
    calls.push(counter(n1));
    await sleep(100);
  }
  const answers = (await Promise.all(calls)).map(({message}) => message.result?.content[0].text);
  assert.deepEqual(answers.map(Number).sort((a, b) => a - b), Array.from({length: 100}, (_, i) => i + 1)); // once each
  const [link] = (await ctlJson(n1, 'nodes')).items.filter(node => node.link).map(node => node.link);
  console.log(`# round trip ${JSON.stringify(link)}; ${proxies[0].lost + proxies[1].lost} chunks lost`);
  assert.ok(proxies[0].lost + proxies[1].lost > 0 && proxies[0].connections + proxies[1].connections > 0);
  for (const node of [n1, n2]) assert.doesNotMatch(node.log, /event=member\.dead/);
}));

test('resets on a long path: calls end clearly, none runs twice, all is well after', farApart('reset', {delay: 50, jitter: 20, loss: 0.01}, async (n1, n2, proxies) => {
  const calls = [];
  for (let i = 0; i < 100; i++) {
    calls.push(counter(n1));
    await sleep(50);
    if (i % 25 === 20) for (const proxy of proxies) proxy.reset();
  }
  const results = (await Promise.all(calls)).map(({message}) => message);
  const answers = results.filter(message => message.result).map(message => Number(message.result.content[0].text));
  for (const {error} of results.filter(message => message.error)) assert.match(error.data?.reason, /^(outcome_unknown|unavailable|not_found)$/, JSON.stringify(error));
  const unknown = results.filter(message => message.error?.data?.reason === 'outcome_unknown').length;
  await waitFor('calls are answered again', async () => (await modern(n1, 'tools/call', {name: 'tool__echo', arguments: {text: 'x'}})).message.result);
  const executed = Number((await counter(n2)).message.result.content[0].text) - 1;
  console.log(`# 100 calls: ${answers.length} answered, ${unknown} unknown; ${executed} executed; ${proxies[0].connections + proxies[1].connections} connections`);
  assert.equal(new Set(answers).size, answers.length);
  assert.ok(unknown > 0, 'no reset hit a call');
  assert.ok(executed >= answers.length && executed <= answers.length + unknown, `${executed} executed`);
  await waitFor('both are alive for each other', async () =>
    (await Promise.all([n1, n2].map(node => ctlJson(node, 'nodes')))).every(list => list.items.filter(node => node.status === 'alive').length === 2));
}));
