// Signed one-shot decisions between real processes: outcomes, a node that is killed, proofs that need no node.
import test from 'node:test';
import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {withMesh, waitFor, ctl, ctlJson, modern} from './lib/mesh.mjs';

const propose = (node, ...args) => ctlJson(node, 'consensus', 'propose', ...args, '--no-wait');
const show = (node, id) => ctlJson(node, 'consensus', 'show', id);
const knows = (node, id) => waitFor(`${node.name} hears of ${id}`, async () => (await ctl(node, 'consensus', 'show', id)).code === 0);
const outcome = (node, id, wanted) => waitFor(`${node.name} sees ${wanted}`, async () => (await show(node, id)).outcome === wanted);
const vote = async (node, id, choice) => { await knows(node, id); return ctl(node, 'consensus', 'vote', id, choice); };

test('five nodes decide, one is killed, and anybody can check it', withMesh('decisions', async mesh => {
  const nodes = await mesh.cluster(5);
  const [n1, n2, n3, n4, n5] = nodes;
  const {id} = await propose(n1, 'deploy', 'v2', '--timeout', '60s');
  for (const node of nodes.slice(0, 3)) assert.equal((await vote(node, id, 'yes')).code, 0);
  assert.equal((await show(n1, id)).outcome, 'open'); // 3 of 5 are not 3/4
  assert.equal((await vote(n2, id, 'no')).code, 6);   // it votes once
  await knows(n5, id);
  mesh.kill(n5);
  await n5.exited;
  assert.equal((await vote(n4, id, 'yes')).code, 0);
  for (const node of nodes.slice(0, 4)) await outcome(node, id, 'achieved');

  const shown = await show(n3, id);
  assert.equal(shown.votes.filter(v => v.choice === 'yes').length, 4);
  assert.equal((await ctl(n3, 'consensus', 'show', id, '--verify')).code, 0);
  const file = join(n3.data, 'decision.json');
  writeFileSync(file, JSON.stringify(shown));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 0);
  writeFileSync(file, JSON.stringify({...shown, value: 'v3'}));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 1);
  const at = shown.certificate.length - 3;
  const other = shown.certificate[at] === '0' ? '1' : '0';
  writeFileSync(file, JSON.stringify({...shown, certificate: shown.certificate.slice(0, at) + other + shown.certificate.slice(at + 1)}));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 1);
}));

test('refused, and no quorum when nobody answers; agents propose and vote by tools', withMesh('refused', async mesh => {
  const nodes = await mesh.cluster(4, {}, {env: {MESHNODE_MCP_MESH_TOOLS: 'write'}});
  const [n1, n2, n3] = nodes;
  const {message} = await modern(n1, 'tools/call', {name: 'mesh_propose', arguments: {topic: 'scale', value: 'up', timeout_ms: 60_000}});
  const {id} = message.result.structuredContent;
  await knows(n2, id);
  for (const node of [n2, n3]) {
    await knows(node, id);
    const said = await modern(node, 'tools/call', {name: 'mesh_vote', arguments: {id, vote: 'no'}});
    assert.equal(said.message.result.isError, undefined, JSON.stringify(said.message));
  }
  for (const node of nodes) await outcome(node, id, 'refused');
  const silent = await ctl(n1, 'consensus', 'propose', 'scale', 'down', '--timeout', '500ms');
  assert.equal(silent.code, 7);
  assert.match(silent.stdout, /no-quorum/);
  assert.equal((await ctlJson(n1, 'consensus', 'log')).items.length, 2);
}));
