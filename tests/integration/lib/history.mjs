// Clients of the strong keyspace that record what they see, and the simulator's own checker that judges it.
import http from 'node:http';
import {join} from 'node:path';
import {randomUUID} from 'node:crypto';
import {spawnSync} from 'node:child_process';
import {openSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {sleep, bin, waitFor} from './mesh.mjs';

const OPS_PER_KEY = 150; // the checker takes 200
export const now = () => process.hrtime.bigint() / 1000n;

// One request over the admin socket. Status 0: no answer; -1: nobody there, so nothing was done.
export function ask(node, method, path, body) {
  return new Promise(done => {
    const request = http.request({socketPath: join(node.data, 'admin.sock'), method, path, timeout: 8000,
      headers: body ? {'content-type': 'application/json'} : {}}, response => {
      let text = '';
      response.on('data', bytes => { text += bytes; });
      response.on('end', () => { try { done({status: response.statusCode, date: response.headers.date, body: JSON.parse(text)}); } catch { done({status: 0}); } });
      response.on('error', () => done({status: 0}));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', error => done({status: error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? -1 : 0}));
    request.end(body && JSON.stringify(body));
  });
}

export const status = async node => (await ask(node, 'GET', '/v1/consensus')).body;
export const voters = async (node, count) => waitFor(`${count} vote`, async () => {
  const said = await status(node);
  // While they change, those who voted before must be there as well: the founder alone, when a mesh begins.
  return said?.quorum && !said.joint && said.items.filter(row => row.weight > 0).length === count && said;
});

// Values are numbers, each written once: who reads one knows who wrote it.
export class History {
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
export async function client(nodes, history, state) {
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
      if (code === 200) { state.answered++; state.onAcknowledged?.(called); }
    }
    await sleep(5);
  }
}

// Every key once more, so that a write that was acknowledged and lost shows even if nobody read it since.
export async function readAll(nodes, history) {
  for (const key of history.counts.keys()) {
    const node = nodes[Math.floor(Math.random() * nodes.length)], called = now();
    await waitFor(`the last value of ${key}`, async () => {
      const {status: code, body} = await ask(node, 'GET', `/v1/state/${key}?timeout_ms=5000`);
      if (code !== 200 && code !== 404) return false;
      history.add(key, 'get', 0, code === 200 ? body.value : 0, called, now());
      return true;
    }, {quiet: true});
  }
}

// From a file, which stays if the verdict is bad: to look at, and to judge again.
export function judge(history) {
  const path = join(tmpdir(), `meshnode-history-${process.pid}`);
  writeFileSync(path, history.lines.join('\n') + '\n');
  const {stdout, stderr, status: code} = spawnSync(join(bin, 'linearcheck'), {stdio: [openSync(path), 'pipe', 'pipe'], encoding: 'utf8'});
  if (code !== 0) throw new Error(`linearcheck, exit ${code}, of the history in ${path}: ${stdout}${stderr}`);
  rmSync(path);
  return stdout;
}
