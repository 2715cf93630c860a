// The strong keyspace under faults of real processes on hosts of their own: kill -9, pauses, cuts in one direction and
// both, a full disk, a clock that jumps, restarts of one after the other and of all at once. Clients record what they
// see, and the simulator's own checker judges it: what was acknowledged is never lost, what was read never old.
// Every fault comes once, then they come in random order, for two minutes in all; CAMPAIGN_SECONDS=1800 for a long run,
// 0 for every fault once.
import test from 'node:test';
import assert from 'node:assert/strict';
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {execFileSync} from 'node:child_process';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {withMesh, waitFor, sleep} from './lib/mesh.mjs';
import {Hosts, canMakeNamespaces} from './lib/netns.mjs';
import {History, ask, client, judge, now, readAll, status, voters} from './lib/history.mjs';

const SECONDS = Number(process.env.CAMPAIGN_SECONDS ?? 120);
const CLIENTS = 6;
const NODES = 5;
const FULL = 4, FAKED = 5; // whose disk is small, whose clock is ours
const can = canMakeNamespaces();
const faketime = ['/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1'].find(existsSync);
if (!can) console.error('\n*** SKIPPED: network namespaces need root with ip and iptables; NOTHING below was tested ***\n');
if (!faketime) console.error('\n*** SKIPPED: the clock that jumps needs libfaketime ***\n');

class Campaign {
  history = new History();
  state = {answered: 0, unknown: 0, refused: 0, retried: 0};
  gaps = []; // {kind, ms}: from the fault to the acknowledgement of a write that was asked for afterwards
  nodes = [];
  clients = [];

  constructor(mesh, hosts, dir) { Object.assign(this, {mesh, hosts, dir}); }

  options(i) {
    const options = {netns: this.hosts.name(i), listen: `${this.hosts.address(i)}:7000`, http: '127.0.0.1:7080',
      args: ['--log-level', 'warn']};
    if (i === FULL) options.data = join(this.dir, 'disk', 'data');
    if (i === FAKED && faketime)
      options.env = {LD_PRELOAD: faketime, FAKETIME_TIMESTAMP_FILE: join(this.dir, 'clock'), FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1'};
    return options;
  }

  async start() {
    writeFileSync(join(this.dir, 'clock'), '+0\n');
    const first = await this.mesh.found('n1', this.options(1));
    this.nodes.push(first);
    for (let i = 2; i <= NODES; i++)
      this.nodes.push(await this.mesh.start(`n${i}`, {...this.options(i), join: first.mesh, token: first.token}));
    for (const node of this.nodes) await this.mesh.ready(node, NODES);
    await voters(first, NODES);
    this.state.onAcknowledged = called => { this.acknowledged = called; };
    this.clients = Array.from({length: CLIENTS}, () => client(this.nodes, this.history, this.state));
  }

  async restart(node) {
    const i = this.nodes.indexOf(node) + 1;
    Object.assign(node, await this.mesh.start(node.name, {...this.options(i), join: this.nodes[i % NODES].mesh}));
    node.isDown = false;
  }

  // Who leads, as most nodes know it.
  leader() {
    return waitFor('there is a leader', async () => {
      for (const node of this.nodes.filter(n => !n.isDown)) {
        const said = await status(node);
        const found = said?.quorum && this.nodes.find(n => n.name === said.items.find(row => row.role === 'leader')?.node);
        if (found && !found.isDown) return found;
      }
    }, {quiet: true});
  }

  async lead(i) {
    const node = this.nodes[i - 1];
    await waitFor(`${node.name} leads`, async () => {
      const leader = await this.leader();
      if (leader === node) return true;
      await ask(leader, 'POST', `/v1/consensus/transfer/${node.name}`, {});
    }, {every: 100});
    return node;
  }

  // The leader was lost at this moment.
  async goesOn(kind) {
    const at = now();
    await waitFor(`${kind}: writes go on`, () => this.acknowledged > at, {every: 2});
    this.gaps.push({kind, ms: Number(now() - at) / 1000});
  }

  // Writes until the log of [node] has no room left; once it has made more segments it may reuse them for ever.
  async ballast(node) {
    const nodes = this.nodes.filter(n => !n.exit), counts = {};
    let isFelt = false;
    for (let i = 0; i < 300 && !isFelt; i++) {
      const {status: code} = await ask(nodes[i % nodes.length], 'PUT', `/v1/state/ballast-${i % 3}?timeout_ms=2000`, {value: 'x'.repeat(250_000)});
      counts[code] = (counts[code] ?? 0) + 1;
      if (i % 20 === 19) isFelt = node.exit || /no room for the log/.test((await status(node))?.diagnosis);
    }
    console.log(`# 250 KB each while a disk is full, answers by status: ${JSON.stringify(counts)}`);
    if (!this.wasFull) assert.ok(isFelt, 'the full disk is felt');
    this.wasFull = true;
  }

  faults = {
    kill: async () => {
      const victim = await this.leader();
      victim.isDown = true;
      await this.mesh.kill(victim);
      await this.goesOn('kill -9');
      await sleep(500);
      await this.restart(victim);
    },
    pause: async () => {
      const victim = await this.leader();
      process.kill(victim.pid, 'SIGSTOP');
      try { await this.goesOn('pause'); await sleep(1500); } finally { process.kill(victim.pid, 'SIGCONT'); }
    },
    cut: async () => {
      const i = this.nodes.indexOf(await this.leader()) + 1;
      for (let j = 1; j <= NODES; j++) if (j !== i) { this.hosts.cut(i, j); this.hosts.cut(j, i); }
      await this.goesOn('cut off');
      await sleep(1500);
      this.hosts.heal();
    },
    deaf: async () => { // the leader is heard, but hears nobody
      const i = this.nodes.indexOf(await this.leader()) + 1;
      for (let j = 1; j <= NODES; j++) if (j !== i) this.hosts.cut(j, i);
      await this.goesOn('deaf');
      await sleep(1500);
      this.hosts.heal();
    },
    mute: async () => { // the leader hears, but nobody hears it
      const i = this.nodes.indexOf(await this.leader()) + 1;
      for (let j = 1; j <= NODES; j++) if (j !== i) this.hosts.cut(i, j);
      await this.goesOn('mute');
      await sleep(1500);
      this.hosts.heal();
    },
    full: async () => {
      const node = await this.lead(FULL), fill = join(this.dir, 'disk', 'fill');
      try {
        execFileSync('dd', ['if=/dev/zero', `of=${fill}`, 'bs=1M'], {stdio: 'ignore'});
      } catch {} // that it ends with an error is the point
      await this.ballast(node);
      await this.goesOn('disk full');
      await sleep(500);
      rmSync(fill);
      if (node.exit) {
        console.log(`# ${node.name} ended with a full disk: ${JSON.stringify(node.exit)}: ${node.log.trim().split('\n').at(-1)}`);
        await this.restart(node);
      }
    },
    clock: async () => {
      if (!faketime) return;
      const node = await this.lead(FAKED);
      for (const jump of ['+3600\n', '-3600\n', '+0\n']) {
        writeFileSync(join(this.dir, 'clock'), jump);
        await this.goesOn('clock');
        const {date} = await ask(node, 'GET', '/v1/version');
        assert.ok(Math.abs(Date.parse(date) - Date.now() - Number(jump) * 1000) < 60_000, `${jump.trim()}: it is ${date} there`);
        await sleep(700);
      }
    },
    all: async () => {
      for (const node of this.nodes) node.isDown = true;
      this.nodes[NODES - 1].isDown = false; // clients need somebody to ask
      await Promise.all(this.nodes.map(node => this.mesh.kill(node)));
      await Promise.all(this.nodes.map(node => this.restart(node)));
      await waitFor('writes go on after the restart of all', () => this.acknowledged > this.restartedAt, {every: 5});
    },
    rolling: async () => {
      for (const node of [...this.nodes]) {
        node.isDown = true;
        await this.mesh.kill(node, 'SIGTERM');
        await this.restart(node);
      }
    },
  };

  async inject(name) {
    this.restartedAt = now();
    await this.faults[name]();
    await sleep(300);
    const at = now();
    await waitFor('writes go on', () => this.acknowledged > at, {quiet: true});
  }

  async end() {
    this.state.over = true;
    await Promise.all(this.clients);
    await readAll(this.nodes, this.history);
    const verdict = judge(this.history), lost = this.gaps.filter(gap => !['disk full', 'clock'].includes(gap.kind)).map(gap => gap.ms).sort((a, b) => a - b);
    const {answered, unknown, refused, retried} = this.state;
    for (const kind of new Set(this.gaps.map(gap => gap.kind))) {
      const ms = this.gaps.filter(gap => gap.kind === kind).map(gap => Math.round(gap.ms));
      console.log(`# ${kind} of the leader to the next acknowledged write: ${ms.join(', ')} ms`);
    }
    console.log(`# failover p50 ${Math.round(lost[lost.length >> 1])} ms, ` +
      `p99 ${Math.round(lost[Math.floor(lost.length * 0.99)])} ms of ${lost.length}`);
    console.log(`# ${verdict.trim()}; ${answered} answered, ${unknown} unknown, ${refused} refused, ${retried} retried`);
    return verdict;
  }
}

function mountSmall(path) {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', path]);
    return true;
  } catch {
    console.error('\n*** SKIPPED: the disk that is full needs the right to mount ***\n');
    return false;
  }
}

function pick(names) {
  return names[Math.floor(Math.random() * names.length)];
}

test('what was acknowledged is there, and what is read is new, whatever happens to nodes, paths, disks and clocks', {skip: !can},
  withMesh('campaign', async mesh => {
    const hosts = new Hosts(NODES), dir = mkdtempSync(join(tmpdir(), 'meshnode-campaign-'));
    execFileSync('mkdir', [join(dir, 'disk')]);
    const canMount = mountSmall(join(dir, 'disk'));
    const campaign = new Campaign(mesh, hosts, dir);
    try {
      if (!canMount) delete campaign.faults.full;
      const names = Object.keys(campaign.faults), end = Date.now() + SECONDS * 1000;
      await campaign.start();
      for (const name of names) await campaign.inject(name);
      while (Date.now() < end) await campaign.inject(pick(names));
      const verdict = await campaign.end();
      assert.match(verdict, / 0 not linearizable/);
      assert.ok(campaign.state.answered > 200, `only ${campaign.state.answered} operations were answered`);
    } finally {
      campaign.state.over = true; // else its clients keep a run that failed from ending
      await mesh.stop();
      await Promise.allSettled(campaign.clients);
      hosts.done();
      if (canMount) execFileSync('umount', ['-l', join(dir, 'disk')]);
      rmSync(dir, {recursive: true, force: true});
    }
  }, {limit: SECONDS * 1000 + 300_000}));
