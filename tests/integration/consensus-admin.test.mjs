// What an admin sees of consensus and does to it, on one mesh of three real nodes.
import test, {before, after} from 'node:test';
import assert from 'node:assert/strict';
import {Mesh, waitFor, ctl, ctlJson} from './lib/mesh.mjs';

const mesh = new Mesh('consensus-admin');
let nodes;

const rows = async (what = 'weights', node = nodes[0]) => {
  const said = await ctlJson(node, 'consensus', what);
  return Object.fromEntries(said.items.map(row => [row.node, row]));
};

before(async () => {
  nodes = [await mesh.found('n1')];
  for (const [name, args] of [['n2', ['--weight', '2', '--region', 'r2']], ['n3', []]])
    nodes.push(await mesh.start(name, {join: nodes[0].mesh, token: nodes[0].token, args}));
  for (const node of nodes) await mesh.ready(node, 3);
  await waitFor('three vote', async () => {
    const said = await ctlJson(nodes[0], 'consensus', 'status').catch(() => null);
    return said?.items.filter(row => row.weight > 0).length === 3;
  });
});
after(() => mesh.stop());

test('weights: what the node says, what an operator wants, and never half', async () => {
  // 2 of 4 would be half, which nobody may have.
  assert.deepEqual([(await rows()).n2.said_weight, (await rows()).n2.weight], [2, 1]);
  const refused = await ctl(nodes[1], 'consensus', 'weights', 'set', 'n1', '2');
  assert.equal(refused.code, 6, refused.stderr);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'set', 'n2', '5')).code, 6);
  for (const name of ['n1', 'n3']) assert.equal((await ctl(nodes[1], 'consensus', 'weights', 'set', name, '1')).code, 0);
  const row = (await rows('weights', nodes[2])).n3;
  assert.equal(row.wanted_weight, 1);
  const table = await ctl(nodes[1], 'consensus', 'weights');
  assert.equal(table.code, 0, table.stderr);
  assert.match(table.stdout, /NODE +ROLE +WEIGHT +SHARE-% +WANTED +SAYS +ADVISED +ACK[\s\S]*advisor: off/);
});

test('the advisor is switched on and off', async () => {
  assert.equal((await ctl(nodes[1], 'consensus', 'weights', 'auto', 'on')).code, 0);
  assert.equal((await ctlJson(nodes[2], 'consensus', 'weights')).advisor, true);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'auto', 'perhaps')).code, 2);
  assert.equal((await ctl(nodes[2], 'consensus', 'weights', 'auto', 'off')).code, 0);
  assert.equal((await ctlJson(nodes[0], 'consensus', 'weights')).advisor, false);
});

test('voters: who is, who shall be', async () => {
  assert.equal((await rows('voters')).n2.region, 'r2');
  assert.equal((await ctl(nodes[0], 'consensus', 'voters', 'add', 'n2')).code, 0);
  assert.equal((await rows('voters', nodes[2])).n2.wanted_role, 'voter');
  assert.equal((await ctl(nodes[1], 'consensus', 'voters', 'auto', 'n2')).code, 0);
  assert.equal((await rows('voters', nodes[2])).n2.wanted_role, null);
  assert.equal((await ctl(nodes[1], 'consensus', 'voters', 'add', 'nobody')).code, 5);
});

test('leadership is handed over', async () => {
  const leader = async () => Object.values(await rows('voters')).find(row => row.role === 'leader')?.node;
  const next = (await leader()) === 'n3' ? 'n2' : 'n3';
  assert.equal((await ctl(nodes[0], 'consensus', 'transfer', next)).code, 0);
  await waitFor(`${next} leads`, async () => (await leader()) === next);
});
