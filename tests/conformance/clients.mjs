// The official conformance suite against a server directly, and against the same server through two nodes
// (client -> A -> encrypted link -> B -> server): the mesh may not change a single check, not even while a replica dies.
// usage: node clients.mjs [VARIANT...] (BIN_UNDER_TEST: the programs' folder)
import {mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {withMesh, waitFor, modern, run, nodejs, sleep, url} from '../integration/lib/mesh.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const suite = join(here, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
const main = join(here, 'fixture', 'main.mjs');

// Per revision, how many scenarios the suite has that are judged here.
const revisions = {'2025-03-26': 1, '2025-06-18': 27, '2025-11-25': 33, '2026-07-28': 40};

// Extensions that the fixture does not offer.
const isExtension = scenario => /^(tasks|sep-2640-skills)-/.test(scenario);

// Not compared. server-sse-polling (not scored) asks a server to close its stream in the middle of a call and to go on
// in the next one; the node resumes its own stream to the server then, and its client's stays open.
const different = new Set(['server-sse-polling']);

// How the fixture is attached. A bridged server is of one era, its clients of both; what the other era has no
// words for differs, and is named here.
const variants = {
  auto: {config: direct => ({url: direct})},
  stdio: {config: () => ({command: nodejs, args: ['--no-warnings', main, '--stdio']})},
  // A legacy question has no key: the node makes one, and the scenario wants its own. And in a legacy session the
  // fixture does not see the capabilities of a request.
  legacy: {config: direct => ({url: direct, era: 'legacy'}), differs: new Set(['input-required-result-basic-elicitation',
    'input-required-result-ignore-extra-params', 'input-required-result-capability-check'])},
  // These tools of the fixture ask by requests of their own, which it can only in a legacy session.
  modern: {config: direct => ({url: direct, era: 'modern'}), differs: new Set(['tools-call-sampling', 'tools-call-elicitation',
    'elicitation-sep1034-defaults', 'elicitation-sep1330-enums'])},
  // One service behind two nodes, one of which is killed while the suite runs.
  replicas: {config: direct => ({url: direct, replica: true}), isReplicated: true},
};

// The checks of the revision's scenarios, or of one, as lines "scenario id name status".
async function judge(target, revision, output, scenario) {
  mkdirSync(output, {recursive: true});
  await run(nodejs, [suite, 'server', '--url', target, ...(scenario ? ['--scenario', scenario] : ['--suite', 'all']),
    '--spec-version', revision, '-o', output]);
  const lines = [], scenarios = new Set();
  for (const folder of readdirSync(output)) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
    if (isExtension(scenario)) continue;
    scenarios.add(scenario);
    for (const check of JSON.parse(readFileSync(join(output, folder, 'checks.json'), 'utf8')))
      if (check.status !== 'INFO')
        lines.push({scenario, key: `${scenario} ${check.id} ${check.name} ${check.status}`, why: check.errorMessage,
          failed: check.status === 'FAILURE'});
  }
  return {lines, scenarios};
}

// What [a] has and [b] has not, each line as often as it is missing.
function missing(a, b) {
  const left = new Map();
  for (const {key} of b) left.set(key, (left.get(key) ?? 0) + 1);
  return a.filter(({key}) => {
    const count = left.get(key) ?? 0;
    left.set(key, count - 1);
    return count <= 0;
  });
}

async function fixture(mesh) {
  const child = spawn(nodejs, ['--no-warnings', main], {stdio: ['ignore', 'pipe', 'inherit']});
  mesh.processes.push(child);
  for await (const line of createInterface({input: child.stdout})) return line;
  throw new Error('the fixture did not start');
}

// How the mesh may differ: it answers with JSON where nothing comes before the result, the SDK with a stream.
const equivalent = new Set(['server-sse-multiple-streams server-sse-streams-functional ServerSSEStreamsFunctional SUCCESS']);

// What one has and the other has not; {line, label}.
function compare(expected, found, differs) {
  const counts = ({key, scenario}) => !equivalent.has(key) && !different.has(scenario) && !differs.has(scenario);
  const differences = [...missing(expected.lines, found.lines).filter(counts).map(line => ({line, label: 'only directly'})),
    ...missing(found.lines, expected.lines).filter(counts).map(line => ({line, label: 'only through nodes'}))];
  for (const {line: {key, why}, label} of differences) console.log(`  ${label}: ${key} ${why ?? ''}`);
  return differences;
}

// Some scenarios wait a fixed time, which a busy machine may not keep: one that differs is judged once more, alone.
async function judgeAgain(scenario, direct, target, revision, output, differs) {
  const [expected, found] = [await judge(direct, revision, join(output, `${scenario}-direct`), scenario),
    await judge(target, revision, join(output, `${scenario}-nodes`), scenario)];
  console.log(`  ${scenario} again: ${expected.lines.length} checks directly, ${found.lines.length} through nodes`);
  return compare(expected, found, differs).length + (expected.lines.length === 0 ? 1 : 0);
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(variants);

// Kills the node with the second replica in the middle of the suite, and starts it again.
async function whileKilled(mesh, node, running) {
  await sleep(2000);
  mesh.kill(node);
  await node.exited;
  const result = await running;
  const again = await mesh.start(node.name, {data: node.data, listen: node.mesh, servers: node.options.servers});
  await mesh.ready(again, 3);
  return {result, again};
}

await withMesh('conformance', async mesh => {
  const direct = await fixture(mesh), of = names => Object.fromEntries(names.map(name => [name, variants[name].config(direct)]));
  const servers = {n2: of(names), n3: of(names.filter(name => variants[name].isReplicated))};
  let [a, , third] = await mesh.cluster(3, servers), differences = 0;
  for (const [revision, count] of Object.entries(revisions)) {
    const expected = await judge(direct, revision, join(mesh.dir, 'out', 'direct', revision));
    console.log(`${revision}: directly ${expected.scenarios.size} scenarios, ${expected.lines.length} checks`);
    if (expected.scenarios.size !== count) throw new Error(`${count} scenarios were expected: ${[...expected.scenarios]}`);
    for (const {key, why} of expected.lines.filter(line => line.failed)) {
      console.log(`  fails directly: ${key} ${why ?? ''}`);
      differences++;
    }
    for (const name of names) {
      const path = `/mcp/servers/${name}`, {differs = new Set(), isReplicated} = variants[name], output = join(mesh.dir, 'out', name, revision);
      await waitFor(`${path} is served`, async () => (await modern(a, 'tools/list', {}, {path})).message.result);
      let found = judge(url(a, path), revision, output);
      if (isReplicated) ({result: found, again: third} = await whileKilled(mesh, third, found));
      found = await found;
      console.log(`${revision}: as ${name}, through two nodes: ${found.lines.length} checks`);
      const suspects = new Set(compare(expected, found, differs).map(({line}) => line.scenario));
      for (const scenario of suspects)
        differences += await judgeAgain(scenario, direct, url(a, path), revision, `${output}-again`, differs);
    }
  }
  if (differences > 0) throw new Error(`${differences} differences`);
  console.log('conformance: the same checks directly and through nodes');
})();
