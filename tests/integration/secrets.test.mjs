// Secrets are where they must be and nowhere else: tokens, API tokens and keys are searched in what travels between nodes,
// on disks, in logs, arguments, the environment of children, and core dumps.
import test from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import {join} from 'node:path';
import {readFileSync, readdirSync, statSync, writeFileSync, existsSync, mkdirSync} from 'node:fs';
import {spawn} from 'node:child_process';
import {plainEnv, withMesh, waitFor, ctlJson, modern, bin, descendants, run} from './lib/mesh.mjs';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
function fromBase32(text) {
  let bits = 0, value = 0;
  const bytes = [];
  for (const c of text) {
    value = (value << 5 | alphabet.indexOf(c)) & 0xfff;
    if ((bits += 5) >= 8) bytes.push(value >> (bits -= 8) & 0xff);
  }
  return Buffer.from(bytes);
}

function toBase32(bytes) {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return bits.match(/.{5}/g).map(five => alphabet[parseInt(five, 2)]).join('');
}

// Every form in which a program writes bytes.
function forms(name, bytes) {
  return [bytes, ...['hex', 'base64', 'base64url'].map(form => Buffer.from(bytes.toString(form).replace(/=+$/, ''))),
    Buffer.from(bytes.toString('hex').toUpperCase()), Buffer.from(toBase32(bytes))].map(needle => ({name, needle}));
}

const found = (haystack, needles) => [...new Set(needles.filter(({needle}) => haystack.includes(needle)).map(({name}) => name))];

// What is read while it lives: a segment of the store, or a child that is asked what it shows to whom, may be gone by then.
function unlessGone(read) {
  try {
    return read();
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes(error.code)) throw error;
    return undefined;
  }
}

function* files(directory) {
  for (const entry of unlessGone(() => readdirSync(directory, {withFileTypes: true})) ?? []) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

// Passes bytes on, and keeps all of them.
function recorder(target) {
  const [host, port] = target.split(':');
  const chunks = [];
  const sockets = new Set();
  const server = net.createServer(client => {
    const to = net.connect(Number(port), host);
    for (const [from, other] of [[client, to], [to, client]]) {
      sockets.add(from);
      from.on('data', bytes => { chunks.push(bytes); other.write(bytes); });
      from.on('close', () => { sockets.delete(from); other.destroy(); });
      from.on('error', () => {});
    }
  });
  return new Promise(done => server.listen(0, '127.0.0.1', () => done({
    address: `127.0.0.1:${server.address().port}`, bytes: () => Buffer.concat(chunks),
    close: () => { for (const socket of sockets) socket.destroy(); server.close(); }})));
}

test('secrets are nowhere but where they belong', withMesh('secrets', async mesh => {
  const child = {spy: {command: join(bin, 'mcp-tool-stdio'), env: {OWN: 'given'}}};
  const bearer = 'a-bearer-secret-of-more-than-thirty-two-characters', environment = 'value-only-the-child-may-see';
  writeFileSync(join(mesh.dir, 'bearer'), bearer, {mode: 0o600});
  writeFileSync(join(mesh.dir, 'node.yaml'), `http:\n  auth:\n    bearer: ["\${file:${join(mesh.dir, 'bearer')}}"]\n`);
  child.spy.env.HIDDEN = environment;
  // A key in the query of a server's URL, as some providers want it.
  child.remote = {url: 'http://127.0.0.1:9/mcp?api_key=in-the-query-of-a-url'};
  const args = ['--config', join(mesh.dir, 'node.yaml'), '--log-level', 'debug'];
  const n1 = await mesh.found('n1', {args});
  const wire = await recorder(n1.mesh);
  const token = readFileSync(join(n1.data, 'join-token'), 'utf8').trim();
  // Given in argv on purpose: it is overwritten there.
  const n2 = await mesh.start('n2', {args: [...args, '--token', token], join: wire.address, servers: child});
  for (const node of [n1, n2]) await mesh.ready(node, 2);
  const made = (await ctlJson(n1, 'token', 'create', '--uses', '3')).token;
  const api = (await ctlJson(n1, 'token', 'create', '--role', 'admin')).token;
  const client = (await ctlJson(n2, 'token', 'create', '--role', 'client')).token;
  // Each is used, rightly and wrongly.
  for (const node of [n1, n2])
    await waitFor(`${node.name} lists the tool`, async () => (await modern(node, 'tools/list', {}, {headers: {authorization: `Bearer ${bearer}`}}))
      .message.result.tools.some(({name}) => name === 'spy__echo'));
  for (const [node, secret] of [[n1, bearer], [n2, client], [n1, api]])
    assert.ok((await modern(node, 'tools/call', {name: 'spy__echo', arguments: {text: 'x'}}, {headers: {authorization: `Bearer ${secret}`}})).message.result);
  for (const path of ['/v1/status', '/v1/nothing', `/v1/status?access_token=${api}`])
    await fetch(`http://${n1.http}${path}`, {headers: {authorization: `Bearer ${api}`}});
  await fetch(`http://${n2.http}/v1/status`, {headers: {authorization: `Bearer ${api}`, cookie: `c=${api}`}});
  const third = await mesh.start('n3', {args, join: wire.address, token: (() => { const file = join(mesh.dir, 'made'); writeFileSync(file, made, {mode: 0o600}); return `@${file}`; })()});
  await mesh.ready(third, 3);

  const secretOf = text => fromBase32(text.slice(5)).subarray(17, 33);
  const key = (node, name) => readFileSync(join(node.data, name));
  const nodes = [n1, n2, third];
  const needles = [
    ...nodes.flatMap(node => forms(`identity of ${node.name}`, key(node, 'identity.key'))), ...forms('root key', key(n1, 'root.key')),
    ...forms('join token', secretOf(token)), {name: 'join token', needle: Buffer.from(token)},
    ...forms('made token', secretOf(made)), {name: 'made token', needle: Buffer.from(made)},
    ...forms('api token', fromBase32(api.slice(5))), {name: 'api token', needle: Buffer.from(api)},
    ...forms('client token', fromBase32(client.slice(5))), {name: 'client token', needle: Buffer.from(client)},
    {name: 'bearer', needle: Buffer.from(bearer)},
  ];
  // A search that finds nothing where something is would prove nothing.
  assert.deepEqual(found(key(n1, 'join-token'), needles), ['join token']);
  assert.deepEqual(found(key(n1, 'root.key'), needles), ['root key']);
  assert.deepEqual(found(Buffer.from(`x${key(n2, 'identity.key').toString('hex')}y`), needles), ['identity of n2']);

  const packets = wire.bytes();
  assert.ok(packets.includes('MESH') && packets.length > 4096, 'a join was recorded');
  assert.deepEqual(found(packets, needles), [], 'between nodes');
  const own = new Set(['join-token', 'identity.key', 'root.key']);
  const looked = [];
  for (const node of nodes)
    for (const path of files(node.data)) {
      if (own.has(path.slice(node.data.length + 1))) continue;
      const bytes = unlessGone(() => readFileSync(path));
      if (bytes === undefined) continue;
      looked.push(path);
      assert.deepEqual(found(bytes, needles), [], path);
    }
  assert.ok(looked.some(path => path.includes('/store/')), 'the store was looked at');
  const hidden = [...needles, {name: 'environment of a server', needle: Buffer.from(environment)},
    {name: 'query of a URL', needle: Buffer.from('in-the-query-of-a-url')}];
  let children = 0;
  for (const node of nodes) {
    assert.ok(node.log.length > 500);
    assert.deepEqual(found(Buffer.from(node.log), hidden), [], `log of ${node.name}`);
    assert.deepEqual(found(readFileSync(`/proc/${node.pid}/cmdline`), needles), [], `arguments of ${node.name}`);
    for (const {pid} of descendants(node.pid))
      for (const what of ['cmdline', 'environ']) {
        const bytes = unlessGone(() => readFileSync(`/proc/${pid}/${what}`)) ?? Buffer.alloc(0);
        assert.deepEqual(found(bytes, needles), [], `${what} of a child of ${node.name}`);
        children += bytes.length > 0;
      }
  }
  assert.ok(children > 1, 'there was a child to look at');
  // What operators see: never a secret, nor the environment of a server.
  for (const words of [['status'], ['nodes'], ['token', 'ls'], ['servers'], ['servers', 'show', 'spy'], ['servers', 'show', 'remote'], ['events'], ['tools']])
    for (const node of [n1, n2]) {
      const shown = await run(join(bin, 'meshctl'), ['--data', node.data, '--json', ...words]);
      assert.deepEqual(found(Buffer.from(shown.stdout + shown.stderr), hidden), [], words.join(' '));
    }
  const config = await run(join(bin, 'meshnode'), ['check', '--config', join(mesh.dir, 'node.yaml'), '--data', join(mesh.dir, 'other'),
    '--server', 'x=http://user:password-in-a-url@127.0.0.1:9/mcp?k=in-the-query-of-a-url']);
  assert.ok(!(config.stdout + config.stderr).includes('password-in-a-url'));
  assert.deepEqual(found(Buffer.from(config.stdout + config.stderr), hidden), [], 'meshnode check');
  assert.match(config.stdout + config.stderr, /\*\*\*/);
  wire.close();
}));

// The kernel tells whether it wrote a core: bash says so.
function dies(command, args, directory, signal, ready) {
  return new Promise(done => {
    const quoted = [command, ...args].map(arg => `'${arg}'`).join(' ');
    const shell = spawn('bash', ['-c', `ulimit -c unlimited; cd '${directory}'; ${quoted} & echo $! > pid; wait $!; echo "exit $?"`], {stdio: ['ignore', 'pipe', 'pipe'], env: plainEnv});
    let text = '';
    shell.stdout.on('data', bytes => { text += bytes; });
    shell.stderr.on('data', bytes => { text += bytes; });
    shell.on('close', () => done(text));
    const pid = () => Number(readFileSync(join(directory, 'pid'), 'utf8'));
    waitFor('it runs', () => existsSync(join(directory, 'pid')) && pid() > 0 && ready()).then(() => process.kill(pid(), signal));
  });
}

test('a node that crashes leaves no core dump, where another program does', withMesh('core', async mesh => {
  const directory = name => { const path = join(mesh.dir, name); mkdirSync(path); return path; };
  const control = await dies('sleep', ['60'], directory('control'), 'SIGSEGV', () => true);
  const data = join(mesh.dir, 'n1');
  const text = await dies(join(bin, 'meshnode'), ['--name', 'n1', '--data', data, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'],
    directory('node'), 'SIGSEGV', () => existsSync(join(data, 'run.json')));
  console.log(`# control: ${/core dumped/.test(control) ? 'dumped' : 'not dumped: this host writes no cores'}`);
  assert.ok(/exit 139/.test(text), text);
  assert.ok(!/core dumped/.test(text), text.slice(-500));
  assert.deepEqual(readdirSync(join(mesh.dir, 'node')).filter(name => name.includes('core')), []);
}));
