// The doors of a node: API tokens and their roles, pages and foreign names on every path, commands over HTTP, what
// reaches upstreams and children, modes of sockets and files.
import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import {join} from 'node:path';
import {readFileSync, writeFileSync, statSync, chmodSync, mkdirSync, existsSync} from 'node:fs';
import {withMesh, waitFor, ctl, ctlJson, run, bin, modern, descendants, nodejs} from './lib/mesh.mjs';

// A request with any header, which fetch() would not let us send. onOpen: its answer has begun.
function raw(node, path, {method = 'GET', headers = {}, body = '', onOpen} = {}) {
  const [host, port] = node.http.split(':');
  return new Promise((done, fail) => {
    const request = http.request({host, port, method, path, headers: {...headers, ...(body ? {'content-length': Buffer.byteLength(body)} : {})}}, response => {
      let text = '';
      onOpen?.();
      response.on('data', bytes => { text += bytes; });
      response.on('end', () => done({status: response.statusCode, headers: response.headers, text}));
    });
    request.on('error', fail);
    request.end(body);
  });
}

const bearer = token => ({authorization: `Bearer ${token}`});
const make = async (node, role, ...more) => (await ctlJson(node, 'token', 'create', '--role', role, ...more)).token;
const json = {'content-type': 'application/json'};

test('API tokens: roles on every path of /v1, on /mcp, across restarts', withMesh('tokens', async mesh => {
  let n1 = await mesh.found('n1');
  const tokens = {};
  for (const role of ['client', 'viewer', 'operator', 'admin']) {
    tokens[role] = await make(n1, role);
    assert.match(tokens[role], /^mna1-[a-z2-7]{52}$/);
  }
  const get = {viewer: ['/v1/status', '/v1/nodes', '/v1/tools', '/v1/servers', '/v1/version', '/v1/check', '/v1/events'],
    operator: ['/v1/tokens', '/v1/pending']};
  const order = ['viewer', 'operator', 'admin'];
  const check = async () => {
    for (const [least, paths] of Object.entries(get))
      for (const path of paths) {
        assert.equal((await raw(n1, path)).status, 401, path);
        assert.equal((await raw(n1, path, {headers: bearer(tokens.client)})).status, 403, path);
        for (const role of order)
          assert.equal((await raw(n1, path, {headers: bearer(tokens[role])})).status, order.indexOf(role) >= order.indexOf(least) ? 200 : 403, `${role} ${path}`);
      }
    for (const [method, path, body] of [['POST', '/v1/tokens', '{"role":"admin"}'], ['DELETE', '/v1/tokens/ffffffff', ''],
      ['POST', '/v1/servers', '{"x":{"url":"http://127.0.0.1:1/"}}'], ['DELETE', '/v1/servers/x', ''], ['POST', '/v1/pending/x/approve', '{}']])
      for (const role of ['viewer', 'operator'])
        assert.equal((await raw(n1, path, {method, body, headers: {...bearer(tokens[role]), ...json}})).status, 403, `${role} ${method} ${path}`);
    // One that there is not is not told to those who are not let in.
    assert.equal((await raw(n1, '/v1/nothing')).status, 401);
    assert.equal((await raw(n1, '/v1/nothing', {headers: bearer(tokens.viewer)})).status, 404);
  };
  await check();
  for (const [role, status] of [['client', 200], ['viewer', 403], ['operator', 200], ['admin', 200]])
    assert.equal((await modern(n1, 'server/discover', {}, {headers: bearer(tokens[role])})).status, status, role);
  assert.equal((await modern(n1, 'server/discover', {}, {headers: bearer(`mna1-${'a'.repeat(52)}`)})).status, 401);

  // meshctl over HTTP, by option, by environment, by context.
  const file = join(mesh.dir, 'token'), home = join(mesh.dir, 'config');
  writeFileSync(file, `${tokens.viewer}\n`, {mode: 0o600});
  mkdirSync(join(home, 'meshctl'), {recursive: true});
  writeFileSync(join(home, 'meshctl', 'lab.json'), JSON.stringify({server: `http://${n1.http}`, token_file: file}));
  const meshctl = (args, env = {}) => run(join(bin, 'meshctl'), args, {env: {PATH: process.env.PATH, ...env}});
  for (const [args, env] of [[['--server', `http://${n1.http}`, '--token-file', file], {}],
    [[], {MESHCTL_SERVER: `http://${n1.http}`, MESHCTL_TOKEN_FILE: file}], [['--context', 'lab'], {XDG_CONFIG_HOME: home}],
    [[], {XDG_CONFIG_HOME: home, MESHCTL_CONTEXT: 'lab'}]]) {
    const answer = await meshctl(['nodes', ...args], env);
    assert.equal(answer.code, 0, answer.stderr);
    assert.match(answer.stdout, /n1/);
  }
  assert.equal((await meshctl(['--context', 'lab', 'token', 'create'], {XDG_CONFIG_HOME: home})).code, 4);
  assert.equal((await meshctl(['--context', 'none', 'nodes'], {XDG_CONFIG_HOME: home})).code, 2);
  assert.equal((await meshctl(['--context', '../lab', 'nodes'], {XDG_CONFIG_HOME: home})).code, 2);
  assert.equal((await meshctl(['--server', `http://${n1.http}`, 'nodes'])).code, 4);

  // They are kept, and what is revoked stays so, whenever the node dies.
  const listed = (await ctlJson(n1, 'token', 'ls')).items.filter(token => token.type === 'api');
  assert.equal(listed.length, 4);
  assert.ok(!JSON.stringify(listed).includes('mna1-'));
  const doomed = await make(n1, 'admin');
  assert.equal((await raw(n1, '/v1/status', {headers: bearer(doomed)})).status, 200);
  const row = (await ctlJson(n1, 'token', 'ls')).items.filter(token => token.type === 'api').at(-1);
  assert.equal((await ctl(n1, 'token', 'revoke', row.id)).code, 0);
  await mesh.kill(n1);
  assert.equal((await run(join(bin, 'meshctl'), ['--data', n1.data, 'status'])).code, 3);
  n1 = await mesh.start('n1', {});
  await mesh.ready(n1, 1);
  await check();
  assert.equal((await raw(n1, '/v1/status', {headers: bearer(doomed)})).status, 401);

  // In a URL a secret is in logs and histories; and guessing ends.
  assert.equal((await raw(n1, `/v1/status?access_token=${tokens.admin}`)).status, 400);
  assert.equal((await raw(n1, `/mcp?t=${tokens.admin}`, {method: 'POST', body: '{}', headers: json})).status, 400);
  let last;
  for (let i = 0; i < 12; i++) last = await raw(n1, '/v1/status', {headers: bearer(`mna1-${'b'.repeat(52)}`)});
  assert.equal(last.status, 429);
  assert.equal((await ctl(n1, 'status')).code, 0);
  for (const token of Object.values(tokens)) assert.ok(!n1.log.includes(token));
}));

for (const [how, ttl] of [['revoked', '1h'], ['expired', '10s']])
  test(`what an API token opened ends when it is ${how}`, withMesh('ended', async mesh => {
    const n1 = await mesh.found('n1');
    const create = role => ctlJson(n1, 'token', 'create', '--role', role, '--ttl', ttl);
    const client = await create('client'), viewer = await create('viewer');
    const headers = {...json, ...bearer(client.token), accept: 'application/json, text/event-stream'};
    const post = (message, more, onOpen) => raw(n1, '/mcp', {method: 'POST', headers: {...headers, ...more}, onOpen, body: JSON.stringify({jsonrpc: '2.0', id: 1, ...message})});
    const session = (await post({method: 'initialize', params: {protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {name: 't', version: '1'}}})).headers['mcp-session-id'];
    let opened = 0;
    const onOpen = () => { opened++; };
    const streams = {
      listen: post({method: 'subscriptions/listen', params: {notifications: {toolsListChanged: true},
        _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}},
      {'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'}, onOpen),
      session: raw(n1, '/mcp', {headers: {...headers, 'mcp-session-id': session}, onOpen}),
      events: raw(n1, '/v1/events?follow=1', {headers: bearer(viewer.token), onOpen}),
    };
    const own = raw(n1, '/mcp', {method: 'POST', onOpen, headers: {...json, accept: headers.accept, 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen'},
      body: JSON.stringify({jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: {notifications: {},
        _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}}}})});
    const over = {};
    for (const [name, stream] of Object.entries({...streams, own})) void stream.then(answer => { over[name] = answer.status; }, () => {});
    await waitFor('all streams are open', () => opened === 4);
    assert.deepEqual(over, {});
    if (how === 'revoked')
      for (const token of [client, viewer]) assert.equal((await ctl(n1, 'token', 'revoke', token.id)).code, 0);
    await waitFor('the end of the streams', () => Object.keys(over).length === 3);
    assert.deepEqual(over, {listen: 200, session: 200, events: 200}); // and not that of who has no token
  }));

const paths = ['/', '/mcp', '/mcp/servers/x', '/metrics', '/v1/status', '/v1/nodes', '/v1/nodes/n1', '/v1/tools', '/v1/servers',
  '/v1/servers/x/logs', '/v1/tokens', '/v1/pending', '/v1/events', '/v1/check', '/v1/version', '/nothing'];

for (const dev of [false, true])
  test(`pages and foreign names are refused on every path${dev ? ', also with --dev' : ''}`, withMesh('pages', async mesh => {
    const n1 = await mesh.found('n1', {dev});
    const token = await make(n1, 'admin');
    for (const path of paths)
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS'])
        for (const headers of [{origin: 'https://evil.example'}, {origin: 'null'}, {host: 'evil.example'}, {host: 'evil.example:7080'}])
          assert.equal((await raw(n1, path, {method, headers: {...json, ...bearer(token), ...headers}, body: method === 'POST' ? '{}' : ''})).status, 403, `${method} ${path} ${JSON.stringify(headers)}`);
    for (const path of ['/healthz', '/readyz']) assert.equal((await raw(n1, path, {headers: {host: 'any'}})).status, 200);
    // What a form of any page can send is no JSON.
    for (const path of ['/v1/tokens', '/v1/servers', '/v1/servers/x/restart', '/mcp'])
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
        assert.equal((await raw(n1, path, {method: 'POST', headers: {...bearer(token), 'content-type': type}, body: '{"role":"admin"}'})).status, 415, `${path} ${type}`);
    assert.equal((await ctlJson(n1, 'token', 'ls')).items.filter(item => item.type === 'api').length, 1);
    assert.deepEqual((await ctlJson(n1, 'servers')).items, []);
    const answer = await raw(n1, '/v1/status', {headers: bearer(token)});
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], undefined);
  }));

test('a server that runs a command is not added over HTTP, unless that node allows it', withMesh('exec', async mesh => {
  writeFileSync(join(mesh.dir, 'exec.yaml'), 'admin:\n  remote_exec: true\n');
  const n1 = await mesh.found('n1'), n2 = await mesh.found('n2', {args: ['--config', join(mesh.dir, 'exec.yaml')]});
  const file = join(mesh.dir, 'token'), marker = join(mesh.dir, 'ran');
  const add = async node => {
    writeFileSync(file, await make(node, 'admin'), {mode: 0o600});
    return run(join(bin, 'meshctl'), ['--server', `http://${node.http}`, '--token-file', file, 'servers', 'add', 'x', '--', '/bin/sh', '-c', `echo > ${marker}`]);
  };
  const refused = await add(n1);
  assert.equal(refused.code, 4, refused.stderr);
  assert.deepEqual((await ctlJson(n1, 'servers')).items, []);
  assert.ok(!existsSync(marker));
  const settings = (await ctlJson(n2, 'config', 'show')).items;
  assert.deepEqual(settings.find(item => item.key === 'admin.remote_exec'), {key: 'admin.remote_exec', value: 'true', origin: `${join(mesh.dir, 'exec.yaml')}:2`});
  const allowed = await add(n2);
  assert.equal(allowed.code, 0, allowed.stderr);
  await waitFor('it ran', () => existsSync(marker));
}));

test('nothing of the client reaches an upstream, and nothing of the node a child', withMesh('upstream', async mesh => {
  const seen = [];
  const upstream = http.createServer((request, response) => {
    let text = '';
    request.on('data', bytes => { text += bytes; });
    request.on('end', () => {
      seen.push(request.headers);
      const message = text ? JSON.parse(text) : {};
      const result = message.method === 'initialize'
        ? {protocolVersion: message.params.protocolVersion, capabilities: {tools: {}}, serverInfo: {name: 'echo', version: '0'}}
        : message.method === 'tools/list' ? {tools: [{name: 'echo', inputSchema: {type: 'object'}}]}
        : {content: [{type: 'text', text: JSON.stringify(request.headers)}]};
      if (message.id === undefined) { response.writeHead(202); response.end(); return; }
      response.writeHead(200, json);
      response.end(JSON.stringify({jsonrpc: '2.0', id: message.id, result}));
    });
  });
  await new Promise(done => upstream.listen(0, '127.0.0.1', done));
  const child = join(mesh.dir, 'child.mjs'), told = join(mesh.dir, 'told');
  writeFileSync(child, `import {writeFileSync, readdirSync, readlinkSync, readFileSync} from 'node:fs';
    const fds = readdirSync('/proc/self/fd').map(fd => { try { return [fd, readlinkSync('/proc/self/fd/' + fd)]; } catch { return [fd, '']; } });
    writeFileSync(${JSON.stringify(told)}, JSON.stringify({env: process.env, fds, argv: readFileSync('/proc/self/cmdline', 'utf8')}));
    process.stdin.resume();`);
  const env = {MESHNODE_NODE_ZONE: 'z1', NOTIFY_SOCKET: '/nowhere', LISTEN_FDS: '1', LISTEN_PID: '1', CREDENTIALS_DIRECTORY: '/creds', SECRET_OF_THE_NODE: 'x'};
  const servers = {web: {url: `http://127.0.0.1:${upstream.address().port}/mcp`}, spy: {command: nodejs, args: [child], env: {OWN: 'given'}}};
  const [n1, n2] = await mesh.cluster(2, {n2: servers}, {env});
  const client = await make(n1, 'client');
  await waitFor('it is listed', async () => (await modern(n1, 'tools/list')).message.result.tools.some(tool => tool.name === 'web__echo'));
  const secrets = {authorization: `Bearer ${client}`, cookie: 'session=stolen', 'x-forwarded-for': '203.0.113.77', forwarded: 'for=203.0.113.77',
    'x-real-ip': '203.0.113.77', 'proxy-authorization': 'Basic eDp5', 'x-custom': 'mine-alone'};
  const {message} = await modern(n1, 'tools/call', {name: 'web__echo', arguments: {}}, {headers: secrets});
  const echoed = JSON.parse(message.result.content[0].text);
  for (const name of Object.keys(secrets)) assert.equal(echoed[name], undefined, name);
  const all = JSON.stringify(seen);
  for (const value of [client, 'stolen', '203.0.113.77', 'eDp5', 'mine-alone']) assert.ok(!all.includes(value), value);

  const spy = JSON.parse(await waitFor('the child told', () => existsSync(told) && readFileSync(told, 'utf8')));
  assert.equal(spy.env.OWN, 'given');
  for (const name of Object.keys(spy.env)) assert.ok(['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'OWN'].includes(name), name);
  const inherited = spy.fds.filter(([fd, target]) => Number(fd) > 2 && !/anon_inode|pipe:|\/proc\/|\/dev\/(null|urandom)|^$/.test(target));
  assert.deepEqual(inherited, [], 'descriptors of the node');
  assert.ok(!spy.argv.includes('mnt1-'));
  await new Promise(done => upstream.close(done));
  upstream.closeAllConnections();
}));

test('what lies on the disk is the node user\'s alone, and another user is not let in', withMesh('modes', async mesh => {
  const n1 = await mesh.found('n1');
  const mode = name => statSync(join(n1.data, name)).mode & 0o777;
  assert.equal(statSync(n1.data).mode & 0o077, 0);
  for (const name of ['identity.key', 'root.key', 'join-token', 'admin.sock']) assert.equal(mode(name), 0o600, name);
  // Even a socket whose directory was opened by mistake asks who is there.
  if (process.getuid() === 0) {
    chmodSync(n1.data, 0o755);
    chmodSync(mesh.dir, 0o755);
    chmodSync(join(n1.data, 'admin.sock'), 0o666);
    const other = await run(join(bin, 'meshctl'), ['--data', n1.data, 'status'], {uid: 65534, gid: 65534, env: {PATH: process.env.PATH}});
    assert.ok(other.code !== 0 && !other.stdout.includes('n1'), `${other.code} ${other.stdout}`);
    chmodSync(n1.data, 0o700);
  }
  await mesh.kill(n1, 'SIGTERM');
  chmodSync(join(n1.data, 'identity.key'), 0o644);
  const refused = await mesh.start('n1', {noWait: true});
  assert.deepEqual(await refused.exited, {code: 77, signal: null});
}));

test('a dev mesh and a real one do not mix', withMesh('dev', async mesh => {
  const real = await mesh.found('real'), dev = await mesh.found('dev', {dev: true});
  const token = await make(real, 'auto', '--uses', '2'), file = join(mesh.dir, 'token');
  writeFileSync(file, token, {mode: 0o600});
  for (const [name, options] of [['a', {join: real.mesh, dev: true}], ['b', {join: real.mesh, token: `@${file}`, dev: true}], ['c', {join: dev.mesh}]]) {
    const node = await mesh.start(name, {...options, noWait: true});
    assert.deepEqual(await node.exited, {code: 77, signal: null}, `${name}: ${node.log.slice(-500)}`);
    assert.match(node.log, /dev_mismatch/, name);
  }
  for (const node of [real, dev]) assert.equal((await ctlJson(node, 'status')).mesh.alive, 1);
}));
