// Who is in, and who is thrown out, with real processes: the founder is lost for good and the mesh goes on; a node is
// revoked with all it had; keys and findings as people see them.
import test from 'node:test';
import assert from 'node:assert/strict';
import {rmSync, copyFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {withMesh, waitFor, waitEqual, ctl, ctlJson, modern, run, bin} from './lib/mesh.mjs';

const alive = async node => (await ctlJson(node, 'nodes')).items.filter(n => n.status === 'alive').map(n => n.name).sort();
const keys = async (node, kind) => (await ctlJson(node, 'keys', 'ls')).items.filter(k => k.kind === kind);
const sealing = async node => (await keys(node, 'seal')).find(k => k.state === 'seals')?.id;

test('the authority grows, the founder is destroyed, and others admit and revoke', withMesh('growth', async mesh => {
  const shared = `@${join(mesh.dir, 'shared')}`; // made before there was a mesh, as compose files do
  writeFileSync(shared.slice(1), (await run(join(bin, 'meshnode'), ['token', 'new'])).stdout, {mode: 0o600});
  const n1 = await mesh.start('n1', {token: shared, args: ['--bootstrap']});
  const [n2, n3] = [await mesh.start('n2', {join: n1.mesh, token: shared}), await mesh.start('n3', {join: n1.mesh, token: shared})];
  for (const node of [n1, n2, n3]) await mesh.ready(node, 3);
  assert.equal((await keys(n1, 'issuer')).length, 1);
  const nags = async () => (await ctlJson(n1, 'status')).findings.some(finding => finding.code === 'root_key_here');
  await waitFor('the founder nags about its root key', nags);
  assert.equal((await ctl(n1, 'check', 'mesh')).code, 1);
  const settings = (await ctlJson(n2, 'config', 'show')).items;
  assert.equal(settings.find(item => item.key === 'mesh.token').value, '***');
  rmSync(join(n1.data, 'root.key'));
  await waitFor('and no more', async () => !(await nags()));
  for (const node of [n1, n2, n3])
    await waitFor(`${node.name} knows three issuers`, async () => (await keys(node, 'issuer')).length === 3, {every: 500});
  assert.deepEqual((await keys(n3, 'issuer')).map(k => k.node).sort(), ['n1', 'n2', 'n3']);

  await mesh.kill(n1);
  rmSync(n1.data, {recursive: true, force: true});
  const created = await ctlJson(n2, 'token', 'create', '--uses', '2');
  const slow = {command: join(bin, 'mcp-tool-stdio')};
  const n4 = await mesh.start('n4', {join: n3.mesh, token: created.token, servers: {slow}}); // through another than the token's home
  await mesh.ready(n4, 3);
  const n5 = await mesh.start('n5', {join: n2.mesh, token: shared});
  await mesh.ready(n5, 4);
  await n5.process.kill('SIGTERM');

  const before = await sealing(n2);
  assert.ok(before, 'there is a key that seals');
  // A call is under way at it, and its tool is listed.
  const lists = async node => (await modern(node, 'tools/list')).message.result.tools.some(tool => tool.name === 'slow__sleep');
  for (const node of [n2, n3]) await waitFor('its tool is listed', () => lists(node));
  const call = modern(n2, 'tools/call', {name: 'slow__sleep', arguments: {ms: 600_000}});
  await waitFor('it runs', async () => (await ctlJson(n4, 'servers')).items[0].in_flight === 1);
  const revoked = await ctlJson(n3, 'nodes', 'revoke', 'n4', '--reason', 'a test');
  assert.equal(revoked.name, 'n4');
  const ended = (await call).message;
  assert.ok(ended.error || ended.result.isError, JSON.stringify(ended));
  for (const node of [n2, n3]) await waitFor('its tool is gone', async () => !(await lists(node)));
  await waitFor('n4 ends', () => n4.exit !== null);
  assert.equal(n4.exit.code, 77, n4.log);
  assert.match(n4.log, /identity_revoked/);
  for (const node of [n2, n3]) {
    await waitFor(`${node.name} has forgotten n4`, async () => !(await ctlJson(node, 'nodes')).items.some(n => n.name === 'n4'));
    await waitFor(`${node.name} has a new key`, async () => { const id = await sealing(node); return id && id !== before; });
    await waitEqual('the old one is closed', async () => (await keys(node, 'seal')).find(k => k.id === before).state, 'closed');
  }
  const again = await mesh.start('n4', {join: n3.mesh, token: created.token, noWait: true}); // same key, same disk
  await waitFor('it ends', () => again.exit);
  assert.equal(again.exit.code, 77, again.log);

  // The one that is gone for good is removed; a live one is not.
  await waitFor('n1 is dead', async () => (await ctlJson(n2, 'nodes')).items.find(n => n.name === 'n1')?.status === 'dead', {every: 300});
  assert.notEqual((await ctl(n2, 'nodes', 'remove', 'n3')).code, 0);
  const refused = await ctl(n2, 'nodes', 'revoke', 'n1'); // an issuer
  assert.equal(refused.code, 4, refused.stderr);
}));

test('a token is revoked with the nodes that came by it', withMesh('tokenrevoke', async mesh => {
  const n1 = await mesh.found('n1');
  const bad = await ctlJson(n1, 'token', 'create', '--uses', '2', '--role', 'edge');
  const good = await mesh.start('n2', {join: n1.mesh, token: n1.token});
  const a = await mesh.start('a', {join: n1.mesh, token: bad.token});
  const b = await mesh.start('b', {join: n1.mesh, token: bad.token});
  for (const node of [n1, good, a, b]) await mesh.ready(node, 4);
  assert.equal((await ctl(good, 'nodes', 'revoke', 'a')).code, 4); // not an issuer
  assert.equal((await ctl(good, 'token', 'revoke', bad.id, '--nodes')).code, 4);
  const by = async name => (await ctlJson(good, 'nodes', 'show', name)).token;
  await waitEqual('it is known what they came by', async () => [await by('a'), await by('b')], [bad.id, bad.id]);
  assert.notEqual(await by('n2'), bad.id);
  const result = await ctl(n1, 'token', 'revoke', bad.id, '--nodes');
  assert.equal(result.code, 0, result.stderr);
  for (const node of [n1, good])
    await waitFor(`${node.name} is rid of both`, async () => (await alive(node)).join() === 'n1,n2');
  for (const node of [a, b]) {
    await waitFor(`${node.name} ends`, () => node.exit !== null);
    assert.equal(node.exit.code, 77, node.log);
  }
}));

test('the root key repairs a mesh whose only issuer is lost', withMesh('recover', async mesh => {
  const n1 = await mesh.found('n1', {env: {MESHNODE_AUTHORITY_GROW: 'false'}});
  const n2 = await mesh.start('n2', {join: n1.mesh, token: n1.token});
  const n3 = await mesh.start('n3', {join: n1.mesh, token: n1.token});
  for (const node of [n1, n2, n3]) await mesh.ready(node, 3);
  const root = join(mesh.dir, 'root.key');
  copyFileSync(join(n1.data, 'root.key'), root);
  await mesh.kill(n1);
  rmSync(n1.data, {recursive: true, force: true});
  assert.equal((await ctl(n2, 'token', 'create')).code, 4);
  await mesh.kill(n2, 'SIGTERM');
  const wrong = await run(join(bin, 'meshnode'), ['authority', 'recover', '--root', n3.data, ...n2.args]);
  assert.equal(wrong.code, 78, wrong.stderr);
  const again = await mesh.start('n2', {join: n3.mesh, args: ['--root', root]});
  await mesh.ready(again, 2);
  await waitFor('n3 knows the new issuer', async () => (await keys(n3, 'issuer')).some(k => k.node === 'n2' && k.state === 'alive'));
  const created = await ctlJson(again, 'token', 'create');
  const n4 = await mesh.start('n4', {join: n3.mesh, token: created.token});
  await mesh.ready(n4, 3);
}));
