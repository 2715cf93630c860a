// What all nodes agree on, under kill -9, pauses and restarts of real processes: clients record what they see, and the
// simulator's own checker judges it. CONSENSUS_SECONDS=1800 for a long run.
import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import {join} from 'node:path';
import {randomUUID} from 'node:crypto';
import {execFileSync} from 'node:child_process';
import {withMesh, waitFor, ctl, ctlJson, sleep, bin} from './lib/mesh.mjs';

const SECONDS = Number(process.env.CONSENSUS_SECONDS ?? 40);
const OPS_PER_KEY = 150; // the checker takes 200
const now = () => process.hrtime.bigint() / 1000n;

function ask(node, method, path, body) {
  return new Promise(done => {
    const request = http.request({socketPath: join(node.data, 'admin.sock'), method, path, timeout: 8000,
      headers: body ? {'content-type': 'application/json'} : {}}, response => {
      let text = '';
      response.on('data', bytes => { text += bytes; });
      response.on('end', () => { try { done({status: response.statusCode, body: JSON.parse(text)}); } catch { done({status: 0}); } });
      response.on('error', () => done({status: 0}));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', error => done({status: error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? -1 : 0}));
    request.end(body && JSON.stringify(body));
  });
}

const status = async node => (await ask(node, 'GET', '/v1/consensus')).body;
const voters = async (node, count) => waitFor(`${count} vote`, async () => {
  const said = await status(node);
  return said?.quorum && said.items.filter(row => row.weight > 0).length === count && said;
});

// Values are numbers, each written once: who reads one knows who wrote it.
class History {
  lines = [];
  values = 0;
  counts = new Map();
  round = 0;
  key() {
    const key = `r${this.round}-${Math.floor(Math.random() * 3)}`;
    const count = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, count);
    if (count >= OPS_PER_KEY) this.round++;
    return count > OPS_PER_KEY ? this.key() : key;
  }
  add(key, kind, value, result, called, returned) {
    this.lines.push(`${key} ${kind} ${value} 0 ${result} ${called} ${returned ?? '-'}`);
  }
}

// One operation at a time. What is certainly not done is left out; what is unknown stays open.
async function client(nodes, history, state) {
  while (!state.over) {
    const alive = nodes.filter(node => !node.isDown);
    const node = alive[Math.floor(Math.random() * alive.length)], key = history.key(), draw = Math.random();
    const value = ++history.values, called = now();
    if (draw < 0.4) {
      const {status: code, body} = await ask(node, 'GET', `/v1/state/${key}?timeout_ms=3000`);
      if (code === 200) history.add(key, 'get', 0, body.value, called, now());
      if (code === 404) history.add(key, 'get', 0, 0, called, now());
      state.answered += code === 200 || code === 404;
    } else {
      const kind = draw < 0.9 ? 'put' : 'cas';
      const request = {value: String(value), client: randomUUID(), seq: 1, ...(kind === 'cas' ? {if_rev: 0} : {})};
      let said = await ask(node, 'PUT', `/v1/state/${key}?timeout_ms=2000`, request);
      if (said.status === 0 || said.body?.error?.code === 'unknown') { // the same again, elsewhere: applied once
        state.retried++;
        const other = nodes.find(n => !n.isDown && n !== node) ?? node;
        const again = await ask(other, 'PUT', `/v1/state/${key}?timeout_ms=3000`, request);
        // Refused is not "not done" here: the first one may yet come true.
        said = again.status === 200 || again.status === 409 ? again : {status: 0};
      }
      const code = said.status;
      if (code === 200) history.add(key, kind, value, 1, called, now());
      else if (code === 409) history.add(key, kind, value, 0, called, now());
      else if (said.body?.error?.code === 'no_quorum' || said.body?.error?.code === 'busy' || code === -1) state.refused++;
      else { history.add(key, kind, value, 0, called, null); state.unknown++; }
      if (code === 200) { state.answered++; state.acknowledged = process.hrtime.bigint(); }
    }
    await sleep(5);
  }
}

function judge(history) {
  return execFileSync(join(bin, 'linearcheck'), {input: history.lines.join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 26});
}

test('the checker tells a stale read', () => {
  assert.throws(() => execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 1 50 60\n'}));
  assert.match(execFileSync(join(bin, 'linearcheck'), {input: 'a put 1 0 1 10 20\na put 2 0 1 30 40\na get 0 0 2 50 60\n', encoding: 'utf8'}), /0 not linearizable/);
});

test('histories stay linearizable through kill -9, pauses and restarts', withMesh('consensus', async mesh => {
  const nodes = await mesh.cluster(5);
  await voters(nodes[0], 5);
  const history = new History(), state = {answered: 0, unknown: 0, refused: 0, retried: 0}, failovers = [];
  const clients = Array.from({length: 4}, () => client(nodes, history, state));
  const restart = async node => {
    const fresh = await mesh.start(node.name, {listen: node.mesh, http: node.http});
    Object.assign(node, fresh);
    node.isDown = false;
  };
  const leader = async () => {
    for (const node of nodes.filter(n => !n.isDown)) {
      const said = await status(node);
      const found = said?.quorum && nodes.find(n => n.name === said.items.find(row => row.role === 'leader')?.node);
      if (found && !found.isDown) return found;
    }
  };
  const end = Date.now() + SECONDS * 1000;
  for (let round = 0; Date.now() < end; round++) {
    const victim = await waitFor('there is a leader', leader);
    const kind = ['kill', 'pause', 'all', 'stop'][round % 4];
    if (kind === 'kill' || kind === 'stop') {
      victim.isDown = true;
      await mesh.kill(victim, kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
      const at = process.hrtime.bigint(); // it is gone
      await waitFor('writes go on', () => state.acknowledged > at, {every: 5});
      if (kind === 'kill') failovers.push(Number((state.acknowledged - at) / 1000000n));
      await sleep(1000);
      await restart(victim);
    } else if (kind === 'pause') {
      process.kill(victim.pid, 'SIGSTOP');
      await sleep(3000);
      process.kill(victim.pid, 'SIGCONT');
    } else {
      for (const node of nodes) node.isDown = true;
      nodes.at(-1).isDown = false; // clients need somebody to ask
      await Promise.all(nodes.map(node => mesh.kill(node)));
      for (const node of nodes) await restart(node);
    }
    await sleep(1500);
  }
  state.over = true;
  await Promise.all(clients);
  const verdict = judge(history);
  console.log(`${verdict.trim()}; ${state.answered} answered, ${state.unknown} unknown, ${state.refused} refused, ${state.retried} retried; ` +
    `kill -9 of the leader to the next acknowledged write: ${failovers.join(', ')} ms`);
  assert.match(verdict, / 0 not linearizable/);
  assert.ok(state.answered > 200, `only ${state.answered} operations were answered`);
}));

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
