// Nodes that come without a token: they wait, both sides show words, people decide.
import test from 'node:test';
import assert from 'node:assert/strict';
import {withMesh, waitFor, waitEqual, ctl, ctlJson} from './lib/mesh.mjs';

const pending = async node => (await ctlJson(node, 'nodes', 'pending')).items;
const logged = (node, event) => new RegExp(`${event}.*text="?([a-z ]+)"?`).exec(node.log)?.[1].trim();

test('a node without a token waits, through any member, and is let in by its words', withMesh('pending', async mesh => {
  const [n1, n2] = await mesh.cluster(2);
  const guest = await mesh.start('guest', {join: n2.mesh});
  const [row] = await waitFor('the issuer lists it', async () => {
    const rows = await pending(n1);
    return rows.length === 1 && rows;
  });
  assert.equal(row.name, 'guest');
  assert.equal(row.sponsor, 'n2');
  assert.match(row.address, /^127\.0\.0\.1:\d+$/);
  const status = await waitFor('the guest was told', async () => {
    const said = await ctlJson(guest, 'status');
    return said.mesh.last_refusal === 'pending' && said;
  });
  assert.equal(row.words, status.node.words);
  assert.equal(row.words.split(' ').length, 8);
  assert.equal(status.findings[0].next, `at an issuer: meshctl nodes approve ${row.words}`);

  // Each side's words are in the other's hands: compare both.
  await waitFor('the guest logs both', () => guest.log.includes('join.pending') && guest.log.includes('join.mesh_words'));
  assert.ok(guest.log.includes(row.words), guest.log);
  assert.ok(guest.log.includes((await ctlJson(n1, 'status')).mesh.words), guest.log);

  // Who is no issuer names those who are.
  const elsewhere = await ctl(n2, 'nodes', 'approve', row.id);
  assert.equal(elsewhere.code, 4, elsewhere.stderr);
  assert.match(elsewhere.stderr, /n1 \([0-9a-f-]{36}\)/);
  assert.equal((await ctl(n2, 'nodes', 'pending')).code, 4);

  // Neither a prefix, nor other words, nor its name.
  for (const who of [row.id.slice(0, 8), row.words.split(' ').slice(0, 7).join(' '), 'guest', status.mesh.id ?? 'x'])
    assert.equal((await ctl(n1, 'nodes', 'approve', who)).code, 5, who);
  assert.equal((await ctl(n1, 'nodes', 'approve', row.id, '--role', 'king')).code, 2);
  assert.equal((await pending(n1)).length, 1);

  const done = await ctl(n1, 'nodes', 'approve', ...row.words.split(' '), '--role', 'edge');
  assert.equal(done.code, 0, done.stderr);
  await mesh.ready(guest, 3);
  await waitEqual('n1 knows it as a member', async () => (await ctlJson(n1, 'nodes', 'show', 'guest')).id, row.id);
  await waitEqual('nobody waits', () => pending(n1), []);

  // It resumes as the member that it is.
  await mesh.kill(guest, 'SIGTERM');
  const again = await mesh.start('guest', {join: n2.mesh});
  await mesh.ready(again, 3);
}));

test('one that waits survives its sponsor, restarts itself, and gets what was decided meanwhile', withMesh('pending-moves', async mesh => {
  const [n1, n2] = await mesh.cluster(2);
  let guest = await mesh.start('guest', {join: [n2.mesh, n1.mesh]});
  const listed = () => waitFor('listed', async () => (await pending(n1))[0]);
  const row = await listed();
  await mesh.kill(row.sponsor === 'n2' ? n2 : guest);
  if (row.sponsor === 'n2')
    await waitFor('another sponsor', async () => (await pending(n1))[0]?.sponsor === 'n1');
  else
    guest = await mesh.start('guest', {join: [n1.mesh]});
  await mesh.kill(guest);
  assert.equal((await listed()).id, row.id); // for ten minutes
  assert.equal((await ctl(n1, 'nodes', 'approve', row.id)).code, 0);
  guest = await mesh.start('guest', {join: n1.mesh});
  await waitFor('it is in', async () => (await ctlJson(guest, 'status')).node.state === 'member');
}));

test('one that is denied ends, and so does its next try', withMesh('denied', async mesh => {
  const n1 = await mesh.found('n1');
  const guest = await mesh.start('guest', {join: n1.mesh});
  const row = await waitFor('listed', async () => (await pending(n1))[0]);
  assert.equal((await ctl(n1, 'nodes', 'deny', row.id.slice(0, 8))).code, 5);
  const denied = await ctl(n1, 'nodes', 'deny', row.id);
  assert.equal(denied.code, 0, denied.stderr);
  assert.deepEqual(await guest.exited, {code: 77, signal: null});
  assert.match(guest.log, /denied/);
  const again = await mesh.start('guest', {join: n1.mesh, noWait: true});
  assert.deepEqual(await again.exited, {code: 77, signal: null});
  await waitEqual('nobody waits', () => pending(n1), []);
}));
