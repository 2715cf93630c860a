// What all nodes agree on, as its users see it; under faults: campaign.test.mjs.
import test from 'node:test';
import assert from 'node:assert/strict';
import {join} from 'node:path';
import {execFileSync} from 'node:child_process';
import {withMesh, waitFor, ctl, bin} from './lib/mesh.mjs';
import {voters} from './lib/history.mjs';

test('the checker tells a stale read', () => {
  assert.throws(() => execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 1 50 60\n'}));
  assert.match(execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 2 50 60\n', encoding: 'utf8'}), /0 not linearizable/);
});

test('a minority refuses with exit code 7, and says who is missing', withMesh('consensus-minority', async mesh => {
  const nodes = await mesh.cluster(3);
  await voters(nodes[0], 3);
  assert.equal((await ctl(nodes[1], 'state', 'put', 'a', '1', '--level', 'strong')).code, 0);
  await mesh.kill(nodes[0]);
  await mesh.kill(nodes[2]);
  const put = await ctl(nodes[1], 'state', 'put', 'a', '2', '--timeout', '4s');
  assert.equal(put.code, 7, put.stderr);
  assert.match(put.stderr, /no majority|may have happened/);
  assert.equal((await ctl(nodes[1], 'state', 'get', 'a', '--timeout', '4s')).code, 7);
  await waitFor('the others count as missing', async () => {
    const said = await ctl(nodes[1], 'consensus', 'status');
    return said.code === 7 && /no quorum: weight 1 of 3 is here; missing: .*n1.*/.test(said.stdout);
  });
}));
