// What passes through the mesh passes as it is: the same bytes that the server gives when it is asked directly, in every
// combination of eras, across two nodes.
import test from 'node:test';
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {join} from 'node:path';
import {withMesh, waitFor, modern, url, nodejs, everything, root} from './lib/mesh.mjs';
import {museum} from './lib/museum.mjs';

const NS = 'io.modelcontextprotocol/';
const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};

// All messages of an answer, as text.
async function messages(response) {
  const text = await response.text();
  return (response.headers.get('content-type') ?? '').startsWith('text/event-stream')
    ? text.split('\n').filter(line => line.startsWith('data: {')).map(line => line.slice(6)) : [text];
}

// A request as text, whose params are text, too; [meta] is what stands in _meta beside what the era wants there.
async function legacy(target) {
  const post = (body, more = {}) => fetch(target, {method: 'POST', headers: {...headers, ...more}, body});
  const first = await post('{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}');
  const session = first.headers.get('mcp-session-id');
  const more = {'mcp-protocol-version': '2025-11-25', ...(session ? {'mcp-session-id': session} : {})};
  const welcome = await messages(first);
  await post('{"jsonrpc":"2.0","method":"notifications/initialized"}', more);
  const ask = async (method, params, meta) => {
    const members = [params, meta ? `"_meta":{${meta}}` : ''].filter(Boolean).join();
    return messages(await post(`{"jsonrpc":"2.0","id":"i","method":"${method}"${members ? `,"params":{${members}}` : ''}}`, more));
  };
  return Object.assign(ask, {welcome: JSON.parse(welcome.find(text => text.includes('"result"'))).result});
}

const stateless = target => async (method, params, meta) => {
  const all = `"_meta":{"${NS}protocolVersion":"2026-07-28","${NS}clientCapabilities":{}${meta ? `,${meta}` : ''}}`;
  const given = JSON.parse(`{${params}}`), name = given.name ?? given.uri;
  const repeats = ['tools/call', 'prompts/get', 'resources/read'].includes(method)
    ? {'mcp-name': /^[!-~]+$/.test(name) ? name : `=?base64?${Buffer.from(name).toString('base64')}?=`} : {};
  return messages(await fetch(target, {method: 'POST', headers: {...headers, 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...repeats},
    body: `{"jsonrpc":"2.0","id":"i","method":"${method}","params":{${[params, all].filter(Boolean).join()}}}`}));
};

// What both ends may say in their own way: result members that only one era has, and their place.
const plain = text => text.replace(/"resultType":"complete",?/, '').replace(/"ttlMs":0,"cacheScope":"private",|,"ttlMs":0,"cacheScope":"private"/, '')
  .replace(/,?"_meta":\{"io\.modelcontextprotocol\/serverInfo":.*?\}\}(?=\}\}$)/, '').replace(/,\}\}$/, '}}');

// What a server says of itself, without what only one era has.
function about({protocolVersion, supportedVersions, serverInfo, resultType, ttlMs, cacheScope, ...rest}) {
  const {[`${NS}serverInfo`]: info, ...meta} = rest._meta ?? {};
  return {...rest, serverInfo: serverInfo ?? info, _meta: meta};
}

const asked = [
  ['tools/list', ''], ['resources/list', ''], ['resources/templates/list', ''], ['prompts/list', ''],
  ['tools/call', '"name":"odd"'],
  ['tools/call', '"name":"odd","arguments":{"cut":"\\ude00","n":1e400,"deep":[[{}]]},"x":1.0'],
  ['tools/call', '"name":"progress"', '"progressToken":"t"'], ['tools/call', '"name":"progress"', '"progressToken":7'],
  ['tools/call', '"name":"progress"'],
  ['tools/call', '"name":"links"'], ['tools/call', '"name":"nothing of that name"'],
  ...[-32050, 1, 42, -32603, 2147483648, -2147483649, 9007199254740991, -32020, -32021, -32022].map(code => ['tools/call', `"name":"fail","arguments":{"code":${code}}`]),
  ['prompts/get', '"name":"p q/é","arguments":{"a":"\\ud83d\\ude00"}'], ['resources/read', '"uri":"x://one"'], ['resources/read', '"uri":"nobody://lists/this"'],
  ['resources/read', '"uri":"x://gone"'],
  ['completion/complete', '"ref":{"type":"ref/prompt","name":"p q/é"},"argument":{"name":"a","value":"v"},"context":{"arguments":{"b":"c"}}'],
  ['completion/complete', '"ref":{"type":"ref/resource","uri":"x://t/{id}"},"argument":{"name":"id","value":""}'],
  ['com.example/tell', '"what":"it","name":"of nothing"'], ['com.example/tell', ''], ['com.example/unknown', ''],
];

test('the same bytes through two nodes as from the server itself, in all combinations of eras', withMesh('pass', async mesh => {
  const servers = {old: await museum('legacy'), new: await museum('modern')};
  const [n1] = await mesh.cluster(2, {n2: {old: {url: servers.old.url}, new: {url: servers.new.url}}});
  for (const name of ['old', 'new']) {
    const path = `/mcp/servers/${name}`;
    await waitFor(`${path} is served`, async () => (await modern(n1, 'tools/list', {}, {path})).message.result);
    const direct = name === 'old' ? await legacy(servers.old.url) : stateless(servers.new.url);
    const old = await legacy(url(n1, path)), discover = async ask => JSON.parse((await ask('server/discover', ''))[0]).result;
    const itself = name === 'old' ? direct.welcome : await discover(direct);
    assert.deepEqual(about(old.welcome), about(itself), `initialize, ${name} server`);
    assert.deepEqual(about(await discover(stateless(url(n1, path)))), about(itself), `server/discover, ${name} server`);
    // The same era knows the same members.
    if (name === 'new') assert.deepEqual(await discover(stateless(url(n1, path))), itself);
    else assert.deepEqual(old.welcome, itself);
    for (const [era, client] of [['legacy', old], ['modern', stateless(url(n1, path))]])
      for (const [method, params, meta] of asked) {
        const what = `${era} client, ${name} server: ${method} ${params}`;
        const expected = await direct(method, params, meta), found = await client(method, params, meta);
        // An unknown resource has a code of its own in legacy revisions.
        // A modern client reads some as the protocol's, which are a legacy server's own.
        const coded = text => params.includes('x://gone') ? text.replace(/-32602|-32002/, 'none')
          : era === 'modern' && name === 'old' ? text.replace(/-3202[012]|-32603/, 'own') : text;
        assert.deepEqual(found.map(text => coded(plain(text))), expected.map(text => coded(plain(text))), what);
      }
  }
  for (const {told, close} of Object.values(servers)) {
    assert.ok(told.some(body => body.includes('"arguments":{"cut":"\\ude00","n":1e400,"deep":[[{}]]},"x":1.0')));
    for (const code of [-32020, -32021, -32022]) // executed once each time that it was asked, twice directly
      assert.equal(told.filter(body => body.includes(`"code":${code}`)).length, 4, `${code}`);
    close();
  }
  // What an extension keeps in a session is one client's: of the legacy ones, the direct one and those with methods of it.
  const sessions = servers.old.told.filter(body => body.includes('"method":"initialize"') && body.includes('"name":"c"'));
  assert.equal(sessions.length, 2);
}));

test('what is no method of a server\'s extensions is unknown, and no node lets it through', withMesh('extension', async mesh => {
  const server = await museum('legacy');
  const [n1] = await mesh.cluster(2, {n2: {old: {url: server.url, uniform: true}}}); // else it is asked what it shows to whom
  const path = '/mcp/servers/old';
  await waitFor('it is served', async () => (await modern(n1, 'tools/list', {}, {path})).message.result);
  server.told.length = 0;
  for (const [at, method] of [['/mcp', 'com.example/tell'], ['/mcp/servers/mesh', 'com.example/tell'], [path, 'tools/steal'], [path, 'tasks/list'],
    [path, 'initialize'], [path, 'logging/setLevel'], [path, 'notifications/x'], [path, 'x'.repeat(200)]]) {
    const {status, message} = await modern(n1, method, {}, {path: at});
    assert.deepEqual([status, message.error?.code], [404, -32601], `${at} ${method}`);
  }
  assert.deepEqual(server.told, []);
  server.close();
}));

test('an answer that is none ends its call', withMesh('none', async mesh => {
  const server = await museum('legacy');
  const [n1] = await mesh.cluster(2, {n2: {old: {url: server.url}}});
  const path = '/mcp/servers/old';
  await waitFor('it is served', async () => (await modern(n1, 'tools/list', {}, {path})).message.result);
  const client = await legacy(url(n1, path));
  for (const text of ['"a":01', '"a":"\\ud8"', '}', '"a":nul'])
    assert.match((await client('tools/call', `"name":"raw","arguments":{"text":${JSON.stringify(text)}}`)).at(-1), /-32603/, text);
  assert.match((await client('tools/call', '"name":"raw","arguments":{"text":"\\"content\\":[]"}')).at(-1), /"content":\[\]/);
  server.close();
}));

// A child that is asked by hand.
function child([command, args]) {
  const process = spawn(command, args, {stdio: ['pipe', 'pipe', 'ignore']}), waiting = new Map();
  createInterface({input: process.stdout}).on('line', line => { const {id, result, error} = JSON.parse(line); waiting.get(id)?.(result ?? error); });
  return {process, ask: (method, params) => new Promise(done => {
    waiting.set(method, done);
    process.stdin.write(`${JSON.stringify({jsonrpc: '2.0', id: method, method, params})}\n`);
  }), note: method => process.stdin.write(`${JSON.stringify({jsonrpc: '2.0', method})}\n`)};
}

const client = {clientInfo: {name: 'c', version: '1'}};
const itself = {
  async legacy(server, more) {
    const {process, ask, note} = child(server);
    const seen = {initialize: await ask('initialize', {protocolVersion: '2025-11-25', capabilities: {}, ...client})};
    note('notifications/initialized');
    for (const [method, params] of more) seen[method] = await ask(method, params);
    process.kill();
    return seen;
  },
  async modern(server, more) {
    const {process, ask} = child(server), _meta = {[`${NS}protocolVersion`]: '2026-07-28', [`${NS}clientCapabilities`]: {}, [`${NS}clientInfo`]: client.clientInfo};
    const seen = {};
    for (const [method, params] of [['server/discover', {}], ...more]) seen[method] = await ask(method, {...params, _meta});
    process.kill();
    return seen;
  },
};
const through = {
  async legacy(target, more) {
    const ask = await legacy(target), seen = {initialize: ask.welcome};
    for (const [method, params] of more) seen[method] = await answered(ask, method, params);
    return seen;
  },
  async modern(target, more) {
    const ask = stateless(target), seen = {};
    for (const [method, params] of [['server/discover', {}], ...more]) seen[method] = await answered(ask, method, params);
    return seen;
  },
};
async function answered(ask, method, params) {
  const texts = await ask(method, JSON.stringify(params).slice(1, -1));
  const {result, error} = texts.map(text => JSON.parse(text)).find(({id}) => id !== undefined);
  return result ?? error;
}

test('whole results of servers on the SDK, as from the servers themselves', withMesh('pass-whole', async mesh => {
  const lists = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'].map(method => [method, {}]);
  const servers = {
    everything: {server: [nodejs, [everything, 'stdio']], eras: ['legacy'], more: [...lists, ['tools/call', {name: 'echo', arguments: {message: 'm'}}]]},
    both: {server: [nodejs, [join(root, 'tests', 'integration', 'lib', 'both.mjs')]], eras: ['legacy', 'modern'],
      more: [...lists, ['tools/call', {name: 'tell', arguments: {}}], ['prompts/get', {name: 'ask'}], ['resources/read', {uri: 'both://page'}]]},
  };
  const [n1] = await mesh.cluster(2, {n2: Object.fromEntries(Object.entries(servers).map(([name, {server: [command, args]}]) => [name, {command, args}]))});
  for (const [name, {server, eras, more}] of Object.entries(servers)) {
    const path = `/mcp/servers/${name}`;
    await waitFor(`${path} is served`, async () => (await modern(n1, 'tools/list', {}, {path})).message.result);
    for (const era of eras) assert.deepEqual(await through[era](url(n1, path), more), await itself[era](server, more), `${era}, ${name}`);
  }
}));
