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
  const {id} = await propose(n1, 'deploy', 'v2', '--timeout', '5m');
  for (const node of nodes.slice(0, 3)) assert.equal((await vote(node, id, 'yes')).code, 0);
  assert.equal((await show(n1, id)).outcome, 'open'); // 3 of 5 are not 3/4
  assert.equal((await vote(n2, id, 'no')).code, 6);   // it votes once
  await knows(n5, id);
  mesh.kill(n5);
  await n5.exited;
  assert.equal((await vote(n4, id, 'yes')).code, 0);
  for (const node of nodes.slice(0, 4)) await outcome(node, id, 'achieved');

  const shown = await show(n3, id.slice(0, 8));
  assert.equal(shown.id, id);
  assert.equal((await ctl(n3, 'consensus', 'show', 'ffff')).code, 5);
  assert.equal(shown.votes.filter(v => v.choice === 'yes').length, 4);
  assert.equal((await ctl(n3, 'consensus', 'show', id, '--verify')).code, 0);
  const file = join(n3.data, 'decision.json');
  writeFileSync(file, JSON.stringify(shown));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 0);
  writeFileSync(file, JSON.stringify({...shown, value: 'v3'}));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 1);
  // Whatever is shown is what is proven, names of nodes apart.
  const yes = shown.votes.find(v => v.choice === 'yes');
  const others = shown.votes.filter(v => v !== yes);
  const votes = change => shown.votes.map(v => v === yes ? {...v, ...change} : v);
  for (const change of [{yes: 5}, {no: 1}, {total: 6}, {quorum_num: 500_000}, {weights: 'metric'}, {id: shown.mesh}, {byzantine: true},
    {proposer: {...shown.proposer, id: shown.mesh}}, {created: shown.deadline}, {deadline: shown.created}, {outcome: 'refused'},
    {votes: others}, {votes: [...others, yes]}, {votes: votes({weight: 2})}, {votes: votes({choice: 'no'})}, {votes: votes({cause: 'policy'})}]) {
    writeFileSync(file, JSON.stringify({...shown, ...change}));
    const said = await ctl(n2, 'consensus', 'show', file, '--verify');
    assert.equal(said.code, 1, JSON.stringify(change));
    assert.match(said.stderr, /something else than what is shown/, JSON.stringify(change));
  }
  writeFileSync(file, JSON.stringify({...shown, proposer: {...shown.proposer, name: 'somebody'}}));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 0);
  const at = shown.certificate.length - 3;
  const other = shown.certificate[at] === '0' ? '1' : '0';
  writeFileSync(file, JSON.stringify({...shown, certificate: shown.certificate.slice(0, at) + other + shown.certificate.slice(at + 1)}));
  assert.equal((await ctl(n2, 'consensus', 'show', file, '--verify')).code, 1);
}));

test('refused, and no quorum when nobody answers; agents propose and vote by tools', withMesh('refused', async mesh => {
  const nodes = await mesh.cluster(4, {}, {env: {MESHNODE_MCP_MESH_TOOLS: 'write'}});
  const [n1, n2, n3] = nodes;
  const {message} = await modern(n1, 'tools/call', {name: 'mesh_propose', arguments: {topic: 'scale', value: 'up', timeout_ms: 300_000}});
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
  assert.match(silent.stderr, /meshctl consensus vote ID yes/);
  assert.equal((await ctlJson(n1, 'consensus', 'log')).items.length, 2);
}));

// One of five lies: it is a node whose words about decisions differ by who hears them.
test('a liar among five: the honest agree, and hold evidence that needs no node', withMesh('liar', async mesh => {
  const n1 = await mesh.found('n1');
  const join1 = {join: n1.mesh, token: n1.token};
  const honest = [n1];
  for (const name of ['n2', 'n3', 'n4']) honest.push(await mesh.start(name, join1));
  const liar = await mesh.start('n5', {...join1, program: 'meshnode-liar'});
  for (const node of [...honest, liar]) await mesh.ready(node, 5);

  let convicted;
  for (let round = 0; !convicted; round++) { // the first lie may come too late to be compared
    assert.ok(round < 20, 'nobody convicts the liar');
    const {id, byzantine} = await propose(n1, `deploy-${round}`, 'v2', '--byzantine', '--timeout', '5m');
    assert.equal(byzantine, true);
    for (const node of [...honest, liar]) assert.equal((await vote(node, id, 'yes')).code, 0);
    for (const node of honest) await outcome(node, id, 'achieved');
    const shown = await show(honest[2], id);
    assert.equal(shown.certified, true);
    const file = join(n1.data, 'byzantine.json');
    writeFileSync(file, JSON.stringify(shown));
    const verified = await ctl(n1, 'consensus', 'show', file, '--verify');
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stderr, /agreement of more than two thirds/);
    writeFileSync(file, JSON.stringify({...shown, outcome: 'refused'}));
    assert.equal((await ctl(n1, 'consensus', 'show', file, '--verify')).code, 1);
    convicted = (await ctlJson(n1, 'consensus', 'evidence')).items[0];
  }
  assert.equal(convicted.node.name, 'n5');
  for (const node of honest)
    await waitFor(`${node.name} holds evidence`, async () => (await ctlJson(node, 'consensus', 'evidence')).items.length === 1);
  const file = join(n1.data, 'evidence.json');
  const list = await ctlJson(honest[3], 'consensus', 'evidence');
  writeFileSync(file, JSON.stringify(list));
  assert.equal((await ctl(n1, 'consensus', 'evidence', file, '--verify')).code, 0);
  const [item] = list.items, at = item.proof.length >> 1, other = item.proof[at] === '0' ? '1' : '0';
  writeFileSync(file, JSON.stringify({...list, items: [{...item, proof: item.proof.slice(0, at) + other + item.proof.slice(at + 1)}]}));
  assert.equal((await ctl(n1, 'consensus', 'evidence', file, '--verify')).code, 1);
  writeFileSync(file, JSON.stringify({...list, items: [{...item, decision: item.mesh}]}));
  assert.equal((await ctl(n1, 'consensus', 'evidence', file, '--verify')).code, 1);
  writeFileSync(file, JSON.stringify({...list, items: [{...item, node: {...item.node, id: item.mesh}}]}));
  assert.equal((await ctl(n1, 'consensus', 'evidence', file, '--verify')).code, 1);

  // The next one is without the liar; evidence, votes and outcome survive a kill -9 of everybody.
  const {id} = await propose(honest[1], 'next', 'v1', '--byzantine', '--timeout', '5m');
  assert.equal((await show(honest[1], id)).votes.length, 4);
  for (const node of honest.slice(0, 2)) assert.equal((await vote(node, id, 'yes')).code, 0);
  for (const node of honest) { await knows(node, id); mesh.kill(node); await node.exited; }
  const again = [];
  for (const node of honest) again.push(await mesh.start(node.name, {data: node.data, join: honest.map(h => h.mesh), args: ['--listen', node.mesh]}));
  for (const node of again) await mesh.ready(node, 4);
  for (const node of again) assert.equal((await ctlJson(node, 'consensus', 'evidence')).items.length, 1);
  assert.equal((await vote(again[0], id, 'no')).code, 6); // it has voted, before the kill
  for (const node of again.slice(2)) assert.equal((await vote(node, id, 'yes')).code, 0);
  for (const node of again) await outcome(node, id, 'achieved');
}));

test('an agreed timeout, too few members for a liar among them; rules vote, and metrics weigh', withMesh('late', async mesh => {
  const env = {MESHNODE_CONSENSUS_POLICY: 'auto/* yes if nodes >= 4 and load < 1000 else no,never/* no'};
  const nodes = await mesh.cluster(3, {}, {env});
  const few = await ctl(nodes[0], 'consensus', 'propose', 'scale', 'up', '--byzantine');
  assert.equal(few.code, 4, few.stderr);
  assert.match(few.stderr, /fewer than four members/);
  nodes.push(await mesh.start('n4', {join: nodes[0].mesh, token: nodes[0].token, env}));
  for (const node of nodes) await mesh.ready(node, 4);

  const policy = await waitFor('its rule holds among four', async () => {
    const said = await ctlJson(nodes[1], 'consensus', 'policy');
    return said.metrics.find(m => m.name === 'nodes').value === 4 && said.rules[0].holds === true && said;
  });
  assert.deepEqual(policy.rules.map(r => r.rule), env.MESHNODE_CONSENSUS_POLICY.split(','));
  const ruled = await waitFor('all have said what they measure, and their rules vote yes', async () => {
    const said = await ctl(nodes[2], '--json', 'consensus', 'propose', 'auto/web', 'v2', '--weights', 'metric', '--byzantine', '--timeout', '1s');
    if (said.code !== 0) return false;
    const ended = JSON.parse(said.stdout); // whoever has not heard all metrics yet says no to the weights
    return ended.votes.every(vote => vote.cause !== 'bad-weights') && ended;
  });
  assert.equal(ruled.outcome, 'achieved');
  assert.equal(ruled.weights, 'metric');
  for (const {cause, choice, weight} of ruled.votes.filter(v => v.choice !== 'none')) {
    assert.equal(cause, 'policy');
    assert.equal(choice, 'yes');
    assert.ok(weight >= 500 && weight <= 1000, `${weight}`); // all links are up, and nobody has work
  }
  const refused = await ctl(nodes[0], 'consensus', 'propose', 'never/web', 'v2', '--timeout', '20s');
  assert.equal(refused.code, 6, refused.stdout + refused.stderr);

  const {id} = await propose(nodes[0], 'scale', 'up', '--byzantine', '--timeout', '10s');
  const voted = await Promise.all(['yes', 'abstain', 'yes', 'abstain'].map((choice, i) => vote(nodes[i], id, choice)));
  for (const {code, stderr} of voted) assert.equal(code, 0, stderr);
  for (const node of nodes) {
    const shown = await waitFor(`${node.name} has it proven`, async () => { const at = await show(node, id); return at.certified && at; });
    assert.equal(shown.outcome, 'timeout'); // all answered, and neither yes nor no suffices
  }
}));
