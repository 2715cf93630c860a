// The official client suite against the upstream side of a node: the suite plays the MCP server and judges what
// reaches it. Between the two stand a node, which has the suite's server as its upstream, and a client of the SDK.
// usage: node upstream.mjs (BIN_UNDER_TEST: the programs' folder); the suite itself runs it with a URL.
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client';
import {withMesh, waitFor, modern, run, nodejs, url} from '../integration/lib/mesh.mjs';

const self = fileURLToPath(import.meta.url);
const suite = join(dirname(self), 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
const path = '/mcp/servers/judge';

// [scenario, revision, checks that must succeed]
const scenarios = [
  ['initialize', '2025-11-25', 1], ['tools_call', '2025-11-25', 1], ['tools_call', '2026-07-28', 1],
  ['sse-retry', '2025-11-25', 3], ['request-metadata', '2026-07-28', 5], ['http-standard-headers', '2026-07-28', 3],
  ['http-custom-headers', '2026-07-28', 18], ['http-invalid-tool-headers', '2026-07-28', 12],
  ['json-schema-2020-12-preservation', '2025-11-25', 8], ['json-schema-2020-12-preservation', '2026-07-28', 8],
  ['json-schema-ref-no-deref', '2026-07-28', 1],
];

// Some argument for every property, as a model would make up.
function invent(schema) {
  const values = {string: 'text', number: 1, integer: 1, boolean: true, array: [], object: {}};
  return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, {type}]) => [name, values[type] ?? 'text']));
}

// What the suite runs as "the client": lists and calls every tool there is.
async function drive(target) {
  const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
  await withMesh('judged', async mesh => {
    const node = await mesh.found('n1', {servers: {judge: {url: target}}});
    await waitFor('the upstream is ready', async () => (await modern(node, 'tools/list', {}, {path})).message.result);
    const client = new Client({name: 'test', version: '0'}, {capabilities: {}, versionNegotiation: {mode: 'auto'}});
    await client.connect(new StreamableHTTPClientTransport(new URL(url(node, path))));
    const {tools} = await client.listTools();
    const observed = tools.find(tool => tool.name === 'json_schema_2020_12_tool')?.inputSchema;
    const calls = context.toolCalls ?? tools.map(({name, inputSchema}) =>
      ({name, arguments: observed && inputSchema.properties?.schema ? {schema: observed} : invent(inputSchema)}));
    for (const call of calls) await client.callTool(call).catch(error => console.log(`# ${call.name}: ${error.message}`));
    await client.close();
  })();
}

async function judge(scenario, revision, expected) {
  const output = mkdtempSync(join(tmpdir(), 'meshnode-judge-'));
  const result = await run(nodejs, [suite, 'client', '--command', `${nodejs} ${self}`, '--scenario', scenario,
    '--spec-version', revision, '-o', output, '--timeout', '60000'], {env: process.env});
  const checks = readdirSync(output).flatMap(folder => JSON.parse(readFileSync(join(output, folder, 'checks.json'), 'utf8')));
  rmSync(output, {recursive: true});
  const count = status => checks.filter(check => check.status === status).length;
  console.log(`${scenario} ${revision}: ${count('SUCCESS')} succeeded, ${count('FAILURE')} failed, ${count('WARNING')} warnings, ${count('SKIPPED')} skipped`);
  const wrong = checks.filter(check => ['FAILURE', 'WARNING'].includes(check.status));
  for (const check of wrong) console.log(`  ${check.status} ${check.id} ${check.name}: ${check.errorMessage ?? ''}`);
  const isGood = wrong.length === 0 && count('SUCCESS') >= expected;
  if (!isGood) console.log(`  at least ${expected} must succeed\n${result.stdout.slice(-3000)}`);
  return isGood;
}

if (process.argv[2]) {
  await drive(process.argv[2]);
} else {
  const results = [];
  for (const scenario of scenarios) results.push(await judge(...scenario));
  if (!results.every(isGood => isGood)) throw new Error('the upstream side does not conform');
  console.log('conformance: servers see a client that conforms');
}
