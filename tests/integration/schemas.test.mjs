// What meshctl --json prints, on a mesh that runs, is what docs/schemas says.
import test from 'node:test';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {join} from 'node:path';
import {readFileSync, writeFileSync} from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import {ask} from './lib/history.mjs';
import {withMesh, waitFor, ctl, ctlJson, run, bin, root, nodejs, plainEnv} from './lib/mesh.mjs';

const schema = JSON.parse(readFileSync(join(root, 'docs', 'schemas', 'meshctl-v1.json'), 'utf8'));
const tool = join(bin, 'mcp-tool-stdio');

// Readers ignore members they do not know; here one that no schema tells of is a gap in the documents.
function strictly(part) {
  if (Array.isArray(part)) return part.map(strictly);
  if (part === null || typeof part !== 'object') return part;
  const copy = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, strictly(value)]));
  if (part.type && part.properties && part.additionalProperties === undefined) copy.additionalProperties = false;
  return copy;
}

const compiler = document => {
  const ajv = new Ajv({allErrors: true, allowUnionTypes: true});
  formats(ajv);
  ajv.addSchema(document);
  return name => ajv.getSchema(`${document.$id}#/$defs/${name}`);
};
const plain = compiler(schema), strict = compiler({...strictly(schema), $id: `${schema.$id}:strict`});
const seen = {}; // of each kind

// No member twice: JSON.parse() would not tell.
function parse(text) {
  const open = [];
  for (const [token, , colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (colon) {
      assert.ok(!open.at(-1).has(token), `${token} stands there twice: ${text.slice(0, 300)}`);
      open.at(-1).add(token);
    }
  }
  return JSON.parse(text);
}

function check(name, text, label) {
  const value = parse(text);
  const validate = plain(name), complete = strict(name);
  assert.ok(validate, `docs/schemas has no ${name}`);
  assert.ok(validate(value), `${label}: ${JSON.stringify(validate.errors)} in ${text.slice(0, 500)}`);
  assert.ok(complete(value), `${label}: not in docs/schemas: ${JSON.stringify(complete.errors)}`);
  seen[name] ??= value;
  return value;
}

// The guest that was approved may not have its replica yet; then that is what is said.
function whatWasNotCompared({code, stdout, stderr}) {
  const left = JSON.parse(stdout).items.filter(item => item.replica !== 'equal');
  assert.equal(code, left.length === 0 ? 0 : 8, stderr + stdout);
  for (const item of left) assert.ok(['being made', 'behind', 'no answer'].includes(item.replica) && item.node === 'guest', stdout);
}

test('--json of every command is as its schema says', withMesh('schemas', async mesh => {
  const [n1, n2] = await mesh.cluster(2, {n2: {tool: {command: tool}}});
  await waitFor('n1 lists tool__echo', async () => (await ctlJson(n1, 'tools')).items.some(t => t.name === 'tool__echo'));
  assert.equal((await ctl(n2, 'servers', 'add', 'gone', '--url', 'http://127.0.0.1:9/mcp')).code, 0);
  assert.equal((await ctl(n2, 'servers', 'add', 'loud', '--', nodejs, '-e', 'console.error("hello"); process.stdin.resume()')).code, 0);
  await waitFor('the loud one was heard', async () => (await ctl(n2, 'servers', 'logs', 'loud')).stdout.includes('hello'));
  await waitFor('the other fails', async () => (await ctlJson(n2, 'servers', 'show', 'gone')).state === 'backoff');
  for (const name of ['n3', 'n4']) await mesh.start(name, {join: n1.mesh, token: n1.token}); // four can decide
  await mesh.ready(n1, 4);
  const propose = ['consensus', 'propose', 'colour', 'blue', '--timeout', '200ms'];
  await waitFor('a decision ends without a quorum', async () => (await ctl(n1, ...propose)).code === 7);
  await mesh.start('guest', {join: n1.mesh});
  const {id: guest} = await waitFor('a node waits', async () => (await ctlJson(n1, 'nodes', 'pending')).items[0]);
  const view = join(mesh.dir, 'view.json');
  writeFileSync(view, JSON.stringify({name: 'dev', tools: ['tool/*', 'gone/*']}));
  const table = [
    ['Status', 0, n2, 'status'], ['Status', 0, n1, 'status'],
    ['NodeList', 0, n1, 'nodes'], ['NodeList', 0, n1, 'nodes', 'ls'], ['Node', 0, n1, 'nodes', 'show', 'n2'], ['Node', 0, n1, 'nodes', 'show', 'n1'],
    ['PendingList', 0, n1, 'nodes', 'pending'], ['PendingNode', 0, n1, 'nodes', 'approve', guest],
    ['Decision', 7, n1, ...propose], ['DecisionList', 0, n1, 'consensus', 'log'],
    ['EvidenceList', 0, n1, 'consensus', 'evidence'], ['VotingPolicy', 0, n2, 'consensus', 'policy'],
    ['Wait', 0, n1, 'nodes', 'wait', '--count', '3', '--ready'],
    ['ToolList', 0, n1, 'tools'], ['ToolList', 0, n1, 'tools', 'ls'], ['ToolList', 0, n1, 'tools', 'find', 'echo'],
    ['Tool', 0, n1, 'tools', 'show', 'tool__echo'],
    ['CallToolResult', 0, n1, 'tools', 'call', 'tool__echo', '{"text":"x"}'], ['CallToolResult', 0, n1, 'call', 'tool__echo', '{"text":"x"}', '--node', 'n2'],
    ['ServerList', 0, n2, 'servers'], ['ServerList', 0, n2, 'servers', 'ls'], ['ServerList', 0, n1, 'servers'],
    ['Server', 0, n2, 'servers', 'show', 'tool'], ['Server', 0, n2, 'servers', 'show', 'gone'],
    ['Done', 0, n1, 'views', 'apply', view], ['Done', 0, n2, 'tools', 'quarantine', 'tool__echo', '--reason', 'x'],
    ['Tool', 0, n2, 'tools', 'show', 'tool__echo'], ['RouteList', 0, n2, 'route', 'explain', 'tool__echo'],
    ['PinList', 0, n2, 'tools', 'pins'], ['Done', 0, n2, 'tools', 'approve', 'tool/echo'], ['Done', 0, n1, 'tools', 'unpin', 'tool__echo'],
    ['NameList', 0, n1, 'servers', 'names'], ['Done', 0, n1, 'servers', 'release', 'tool'],
    ['ViewList', 0, n2, 'views'], ['View', 0, n1, 'views', 'show', 'dev'], ['Done', 0, n1, 'views', 'rm', 'dev'],
    ['LogLine', 0, n2, 'servers', 'logs', 'loud'],
    ['ConsensusStatus', 0, n1, 'check', 'consensus'], ['RouteList', 0, n1, 'route', 'explain', 'tool__echo'], ['RouteList', 0, n2, 'route', 'explain', 'tool__echo'],
    ['Token', 0, n1, 'token', 'create', '--uses', '2'], ['TokenList', 0, n1, 'token', 'ls'],
    ['KeyList', 0, n1, 'keys', 'ls'], ['ConfigList', 0, n2, 'config', 'show'],
    ['ConsensusNodes', 0, n1, 'consensus', 'weights'], ['ConsensusNodes', 0, n2, 'consensus', 'voters'],
    ['ConsensusDone', 0, n2, 'consensus', 'weights', 'auto', 'off'],
    ['ConsensusVerify', null, n2, 'consensus', 'verify'], ['ConsensusRecovery', 0, n1, 'consensus', 'recover', '--plan'],
    ['StateChanges', 0, n1, 'state', 'watch', '--once', '--timeout', '1s'],
    ['StateLease', 0, n2, 'state', 'lease', 'grant', '1m'], ['StateLeaseList', 0, n2, 'state', 'lease', 'ls'],
    ['StateDone', 0, n2, 'state', 'put', 'a/b', 'one'], ['StateDone', 0, n1, 'state', 'incr', 'n', '3'],
    ['StatePair', 0, n1, 'state', 'get', 'a/b'], ['StateList', 0, n2, 'state', 'ls'], ['StateDone', 0, n1, 'state', 'rm', 'a/b'],
    ['ConsensusStatus', 0, n1, 'consensus'], ['ConsensusStatus', 0, n2, 'consensus', 'status'],
    ['ConsensusDone', 0, n2, 'consensus', 'weights', 'set', 'n1', '1'],
    ['Event', 0, n2, 'events'], ['Check', 1, n2, 'check', 'node'], ['Check', 0, n1, 'check', 'node'], ['Check', 1, n1, 'check', 'mesh'],
    ['Client', 0, n1, 'client', 'claude-code'], ['Client', 0, n1, 'client', 'cursor'], ['Client', 0, n1, 'client', 'vscode'], ['Client', 0, n1, 'client', 'json'],
    ['Check', 0, n2, 'doctor'], ['Version', 0, n1, 'version'], ['Diagnosis', 0, n2, 'doctor', '--node', 'all'],
    ['Done', 0, n2, 'servers', 'add', 'more', '--', tool], ['Done', 0, n2, 'servers', 'restart', 'more'], ['Done', 0, n2, 'servers', 'rm', 'more'],
  ];
  for (const [name, code, node, ...args] of table) {
    const label = `meshctl --json ${args.join(' ')}`;
    const result = await ctl(node, '--json', ...args);
    if (name === 'ConsensusVerify') whatWasNotCompared(result);
    else assert.equal(result.code, code, `${label}: ${result.stderr}${result.stdout}`);
    const lines = name === 'Event' || name === 'LogLine' ? result.stdout.trim().split('\n') : [result.stdout];
    assert.ok(lines[0], `${label} printed nothing`);
    for (const line of lines) check(name, line, label);
  }
  const {body: bundle} = await ask(n1, 'POST', '/v1/state', {requests: [{op: 'put', key: 'b', value: '1'}, {op: 'incr', key: 'b', by: 1}, {op: 'get', key: 'b'}, {op: 'rm', key: 'none'}]});
  check('StateBundle', JSON.stringify(bundle), 'POST /v1/state');
  const {rev} = await ctlJson(n1, 'state', 'ls');
  assert.equal((await ctl(n1, 'state', 'put', 'w', '1')).code, 0);
  const watching = spawn(join(bin, 'meshctl'), ['--json', '--data', n2.data, 'state', 'watch', '--from', String(rev)], {stdio: ['ignore', 'pipe', 'inherit'], env: plainEnv});
  mesh.processes.push(watching);
  let watched = '';
  watching.stdout.on('data', bytes => { watched += bytes; });
  await waitFor('the change is told', () => watched.includes('\n'));
  watching.kill();
  check('StateChange', watched.split('\n')[0], 'state watch');
  const [token] = (await ctlJson(n1, 'token', 'ls')).items;
  check('Token', (await ctl(n1, '--json', 'token', 'revoke', token.id)).stdout, 'token revoke');

  // What goes wrong is one line on stderr; nothing is on stdout, but for a tool's own error.
  const failures = [
    [5, n1, 'nodes', 'show', 'nobody'], [5, n1, 'tools', 'show', 'nothing'], [5, n1, 'call', 'nothing__here', '{}'], [5, n1, 'servers', 'rm', 'nothing'],
    [5, n1, 'tools', 'find', 'nothing like it'], [5, n1, 'servers', 'logs', 'nothing'], [5, n1, 'route', 'explain', 'nothing'], [5, n1, 'token', 'revoke', '0000000000000000'],
    [4, n2, 'token', 'create'], [6, n2, 'servers', 'add', 'tool', '--', tool], [7, n1, 'nodes', 'wait', '--count', '9', '--timeout', '1s'],
    [2, n1, 'frobnicate'], [2, n1, 'call', 'tool__echo', '{not json'], [2, n1, 'nodes', 'show'],
  ];
  for (const [code, node, ...args] of failures) {
    const result = await ctl(node, '--json', ...args), label = `meshctl --json ${args.join(' ')}`;
    assert.equal(result.code, code, `${label}: ${result.stdout}${result.stderr}`);
    assert.equal(result.stdout, '', label);
    assert.equal(result.stderr.trim().split('\n').length, 1, `${label}: ${result.stderr}`);
    check('Error', result.stderr, label);
  }
  const nobody = await run(join(bin, 'meshctl'), ['--json', '--data', join(mesh.dir, 'nobody'), 'status']);
  assert.equal(nobody.code, 3, nobody.stderr);
  check('Error', nobody.stderr, 'no node');

  // The schemas can fail: what lacks one of its members is refused, by each of them.
  for (const [name, value] of Object.entries(seen)) {
    const required = schema.$defs[name].required;
    assert.ok(required.length > 0, name);
    for (const member of required) {
      const less = {...value};
      delete less[member];
      assert.equal(plain(name)(less), false, `${name} without ${member} passes`);
    }
  }
  const unused = Object.keys(schema.$defs).filter(name => name !== 'Finding' && !seen[name]);
  assert.deepEqual(unused, [], 'schemas of which nothing was seen');
}));
