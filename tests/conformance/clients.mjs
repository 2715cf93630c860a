// The official conformance suite against a server directly, and against the same server through two nodes
// (client -> A -> encrypted link -> B -> server): the mesh may not change a single check.
// usage: node clients.mjs (BIN_UNDER_TEST: the programs' folder)
import {mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {withMesh, waitFor, modern, run, nodejs, url} from '../integration/lib/mesh.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const suite = join(here, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');

// What a mesh of today serves: tools. In each revision all of these that the suite has for it.
const scope = new Set(['server-initialize', 'server-session-lifecycle', 'server-stateless', 'ping', 'tools-list',
  'tools-call-simple-text', 'tools-call-image', 'tools-call-audio', 'tools-call-embedded-resource', 'tools-call-mixed-content',
  'tools-call-error', 'tools-call-with-progress', 'json-schema', 'server-sse-multiple-streams', 'dns-rebinding-protection',
  'http-header-validation', 'http-custom-header-server-validation']);
const revisions = {'2025-03-26': 1, '2025-06-18': 11, '2025-11-25': 14, '2026-07-28': 14}; // and how many that are

// The checks of the revision's scenarios, as sorted lines "scenario id name status".
async function judge(target, revision, output) {
  mkdirSync(output, {recursive: true});
  await run(nodejs, [suite, 'server', '--url', target, '--suite', 'all', '--spec-version', revision, '-o', output]);
  const lines = [], scenarios = new Set();
  for (const folder of readdirSync(output)) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '').replace(/-2020-12$/, '');
    if (!scope.has(scenario)) continue;
    scenarios.add(scenario);
    for (const check of JSON.parse(readFileSync(join(output, folder, 'checks.json'), 'utf8')))
      if (check.status !== 'INFO')
        lines.push({key: `${scenario} ${check.id} ${check.name} ${check.status}`, why: check.errorMessage, failed: check.status === 'FAILURE'});
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
  const child = spawn(nodejs, [join(here, 'fixture.mjs')], {stdio: ['ignore', 'pipe', 'inherit']});
  mesh.processes.push(child);
  for await (const line of createInterface({input: child.stdout})) return line;
  throw new Error('the fixture did not start');
}

// How the mesh may differ: it answers with JSON where nothing comes before the result, the SDK with a stream.
const differs = new Set(['server-sse-multiple-streams server-sse-streams-functional ServerSSEStreamsFunctional SUCCESS']);

function report(label, lines) {
  const counted = lines.filter(({key}) => !differs.has(key));
  for (const {key, why} of counted) console.log(`  ${label}: ${key} ${why ?? ''}`);
  return counted.length;
}

await withMesh('conformance', async mesh => {
  const direct = await fixture(mesh);
  // One server of both eras, and bridges: clients of both eras come through each.
  const eras = ['auto', 'legacy', 'modern'];
  const [a] = await mesh.cluster(2, {n2: Object.fromEntries(eras.map(era => [era, {url: direct, era}]))});
  let differences = 0;
  for (const [revision, count] of Object.entries(revisions)) {
    const expected = await judge(direct, revision, join(mesh.dir, 'out', 'direct', revision));
    console.log(`${revision}: directly ${expected.scenarios.size} scenarios, ${expected.lines.length} checks`);
    if (expected.scenarios.size !== count) throw new Error(`${count} scenarios were expected`);
    differences += report('fails directly', expected.lines.filter(line => line.failed));
    for (const era of eras) {
      const path = `/mcp/servers/${era}`;
      await waitFor(`${path} is served`, async () => (await modern(a, 'tools/list', {}, {path})).message.result);
      const found = await judge(url(a, path), revision, join(mesh.dir, 'out', era, revision));
      console.log(`${revision}: server as ${era}, through two nodes: ${found.lines.length} checks`);
      differences += report('only directly', missing(expected.lines, found.lines));
      differences += report('only through nodes', missing(found.lines, expected.lines));
    }
  }
  if (differences > 0) throw new Error(`${differences} differences`);
  console.log('conformance: the same checks directly and through two nodes');
})();
