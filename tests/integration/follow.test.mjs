// meshctl that stays: -f and --watch go on telling what comes, until they are ended.
import test from 'node:test';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {withMesh, waitFor, ctl, bin, nodejs} from './lib/mesh.mjs';

const tool = join(bin, 'mcp-tool-stdio');

function follow(mesh, node, ...args) {
  const child = spawn(join(bin, 'meshctl'), ['--data', node.data, ...args], {stdio: ['ignore', 'pipe', 'pipe']});
  const told = {child, out: '', err: ''};
  child.stdout.on('data', bytes => { told.out += bytes; });
  child.stderr.on('data', bytes => { told.err += bytes; });
  told.ended = new Promise(done => child.on('close', (code, signal) => done(told.exit = {code, signal})));
  mesh.processes.push(child);
  return told;
}

const lines = told => told.out.split('\n').slice(0, -1); // the last one may not be whole

test('events -f, servers logs -f and --watch go on telling', withMesh('follow', async mesh => {
  const n1 = await mesh.found('n1');
  const loud = 'setInterval(() => console.error(`beat ${Date.now()}`), 50); process.stdin.resume()';
  assert.equal((await ctl(n1, 'servers', 'add', 'loud', '--', nodejs, '-e', loud)).code, 0);
  const events = follow(mesh, n1, '--json', 'events', '-f'), logs = follow(mesh, n1, 'servers', 'logs', 'loud', '-f');
  const watch = follow(mesh, n1, 'servers', '--watch');
  await waitFor('the log goes on', () => (logs.out.match(/beat \d+/g) ?? []).length > 20);
  await waitFor('the table is there', () => watch.out.includes('loud'));
  assert.ok(!watch.out.includes('later'));
  assert.equal((await ctl(n1, 'servers', 'add', 'later', '--', tool)).code, 0);
  await waitFor('the event comes', () => events.out.split('\n').some(line => line.includes('server.ready') && line.includes('later')));
  for (const line of lines(events)) assert.ok(JSON.parse(line).event, line);
  await waitFor('the table is printed anew', () => watch.out.includes('later'));
  for (const told of [events, logs, watch]) assert.equal(told.exit, undefined, told.err);

  // Decisions: those there are, and what becomes of them.
  const decided = follow(mesh, n1, 'consensus', 'log', '-f'), told = follow(mesh, n1, '--json', 'consensus', 'log', '-f');
  for (const name of ['n2', 'n3', 'n4']) await mesh.start(name, {join: n1.mesh, token: n1.token});
  await mesh.ready(n1, 4);
  const {code, stdout} = await ctl(n1, '--json', 'consensus', 'propose', 'colour', 'blue', '--timeout', '1500ms');
  assert.equal(code, 7, stdout);
  await waitFor('its end is told', () => /colour = blue: no-quorum; yes 0/.test(decided.out));
  assert.match(decided.out, /colour = blue: open; .*\n.*colour = blue: no-quorum/);
  const outcomes = () => lines(told).map(line => JSON.parse(line).outcome);
  await waitFor('in JSON, too', () => outcomes().length === 2);
  assert.deepEqual(outcomes(), ['open', 'no-quorum']);

  // They end with the node, and say so; or by a signal.
  watch.child.kill('SIGINT');
  await watch.ended;
  mesh.kill(n1);
  for (const told of [events, logs, decided]) {
    await told.ended;
    assert.notEqual(told.exit.code, 0, told.err);
    assert.ok(told.err.length > 0, 'it says why');
  }
}));
