// Real nodes as processes, for the tests. Everything a test starts is stopped at its end, and what the
// nodes logged is shown when it fails.
import assert from 'node:assert/strict';
import {spawn, execFile} from 'node:child_process';
import {mkdtempSync, readFileSync, existsSync, rmSync, writeFileSync, readdirSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, dirname} from 'node:path';
import {fileURLToPath} from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..', '..', '..');
export const bin = process.env.BIN_UNDER_TEST ?? join(root, 'build', 'dev', 'bin');
export const modules = join(here, '..', 'node_modules');
// The Node.js 22 of the tests' own packages, whatever the system has.
export const nodejs = join(modules, 'node', 'bin', 'node');
export const everything = join(modules, '@modelcontextprotocol', 'server-everything', 'dist', 'index.js');

// A node takes its configuration from MESHNODE_*: ours must not reach it.
export const plainEnv = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MESHNODE_')));

export const sleep = ms => new Promise(done => setTimeout(done, ms));

// Waits for the event itself, with a generous limit, and prints how long it took: no test asserts a time.
export async function waitFor(what, check, {limit = 60_000, every = 20, quiet = false} = {}) {
  const begin = performance.now();
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) {
        if (!quiet) console.log(`# ${what}: ${Math.round(performance.now() - begin)} ms`);
        return value;
      }
      last = undefined;
    } catch (error) {
      if (error.fatal) throw error;
      last = error;
    }
    if (performance.now() - begin > limit)
      throw new Error(`${what}: not within ${limit} ms${last ? `; last: ${last.message}` : ''}`);
    await sleep(every);
  }
}

// Waits until what read() returns is as expected; a failure shows how it last differed.
export const waitEqual = (what, read, expected, options) => waitFor(what, async () => {
  assert.deepEqual(await read(), expected);
  return true;
}, options);

export class Mesh {
  constructor(name) {
    this.dir = mkdtempSync(join(tmpdir(), `meshnode-${name}-`));
    this.nodes = [];
    this.processes = [];
  }

  // Starts a node and waits until it serves. Options: join, token, bootstrap, servers (object of
  // mcpServers), args (more flags), netns, listen, http, dev, program (another than meshnode).
  async start(name, options = {}) {
    const data = options.data ?? join(this.dir, name);
    const args = ['--name', name, '--data', data,
      '--listen', options.listen ?? '127.0.0.1:0', '--http', options.http ?? '127.0.0.1:0'];
    if (options.dev) args.push('--dev');
    for (const seed of options.join ? [options.join].flat() : []) args.push('--join', seed);
    if (options.token) args.push('--token', options.token);
    if (options.servers) {
      const file = join(this.dir, `${name}-mcp.json`);
      writeFileSync(file, JSON.stringify({mcpServers: options.servers}));
      args.push('--servers', file);
    }
    args.push(...(options.args ?? []));
    rmSync(join(data, 'run.json'), {force: true});
    const program = join(bin, options.program ?? 'meshnode');
    const command = options.netns ? 'ip' : program;
    const argv = options.netns ? ['netns', 'exec', options.netns, program, ...args] : args;
    const node = {name, data, args, options, log: '', mesh: null, http: null, exit: null};
    node.process = spawn(command, argv, {stdio: ['ignore', 'pipe', 'pipe'], env: {...plainEnv, ...options.env}});
    node.process.stdout.on('data', bytes => { node.log += bytes; });
    node.process.stderr.on('data', bytes => { node.log += bytes; });
    node.exited = new Promise(done => {
      const end = (code, signal) => done(node.exit ??= {code, signal});
      // 'close': all that it wrote is read. What it started may hold its pipes open for longer.
      let limit;
      node.process.on('exit', (code, signal) => { limit = setTimeout(end, 2000, code, signal); });
      node.process.on('close', (code, signal) => { clearTimeout(limit); end(code, signal); });
      node.process.on('error', error => end(127, error.message));
    });
    this.nodes.push(node);
    if (options.noWait) return node;
    await waitFor(`${name} serves`, () => {
      if (node.exit) throw Object.assign(new Error(`${name} exited with ${JSON.stringify(node.exit)}: ${node.log.slice(-2000)}`), {fatal: true});
      if (!existsSync(join(data, 'run.json'))) return false;
      const run = JSON.parse(readFileSync(join(data, 'run.json'), 'utf8'));
      node.pid = run.pid;
      node.mesh = run.mesh[0];
      node.http = run.http[0];
      return true;
    });
    return node;
  }

  // The first node; its token is node.token.
  async found(name, options = {}) {
    const node = await this.start(name, options);
    if (!options.dev) {
      await waitFor(`${name} made its token`, () => existsSync(join(node.data, 'join-token')));
      node.token = `@${join(node.data, 'join-token')}`;
      await this.ready(node, 1);
    }
    return node;
  }

  // A founder and count - 1 that joined it; servers: name -> mcpServers object.
  async cluster(count, servers = {}, options = {}) {
    const nodes = [await this.found('n1', {...options, servers: servers.n1})];
    for (let i = 2; i <= count; i++)
      nodes.push(await this.start(`n${i}`, {...options, join: nodes[0].mesh, token: nodes[0].token, servers: servers[`n${i}`]}));
    for (const node of nodes) await this.ready(node, count);
    return nodes;
  }

  async ready(node, count) {
    const result = await ctl(node, 'nodes', 'wait', '--count', String(count), '--ready', '--timeout', '60s');
    if (result.code !== 0) throw new Error(`${node.name}: ${result.stderr}`);
  }

  kill(node, signal = 'SIGKILL') {
    process.kill(node.pid, signal);
    return node.exited;
  }

  async stop() {
    for (const node of this.nodes)
      if (!node.exit) {
        try { process.kill(node.pid ?? node.process.pid, 'SIGCONT'); } catch {}
        node.process.kill('SIGTERM');
        if (node.pid) try { process.kill(node.pid, 'SIGTERM'); } catch {}
      }
    let limit;
    await Promise.race([Promise.all(this.nodes.map(node => node.exited)), new Promise(done => { limit = setTimeout(done, 15_000); })]);
    clearTimeout(limit); // it would keep the whole program waiting
    for (const node of this.nodes) if (!node.exit) try { process.kill(node.pid, 'SIGKILL'); } catch {}
    for (const child of this.processes) child.kill('SIGKILL');
    rmSync(this.dir, {recursive: true, force: true});
  }

  logs() {
    return this.nodes.map(node => `---- ${node.name}\n${node.log.split('\n').slice(-40).join('\n')}`).join('\n');
  }
}

// The port that a process has written to [file] once it listens: one that is chosen before may be another's by then.
export const portIn = (what, file) => waitFor(`${what} listens`, () => existsSync(file) && Number(readFileSync(file, 'utf8')));

// The reference server of the protocol (a legacy one, on the SDK) over Streamable HTTP; its port. It would listen to everybody.
export async function everythingHttp(mesh) {
  const file = join(mesh.dir, 'everything.port');
  writeFileSync(join(mesh.dir, 'loopback.mjs'), `import net from 'node:net';
import {writeFileSync} from 'node:fs';
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...more) {
  this.once('listening', () => writeFileSync(${JSON.stringify(file)}, String(this.address().port)));
  return listen.call(this, 0, '127.0.0.1', ...more);
};`);
  mesh.processes.push(spawn(nodejs, ['--import', join(mesh.dir, 'loopback.mjs'), everything, 'streamableHttp'], {env: process.env, stdio: 'ignore'}));
  return portIn('the reference server', file);
}

// Runs body(mesh) and cleans up; shows the logs when it fails. One that takes too long fails: ctest, which would end it at last,
// shows none.
export function withMesh(name, body, {limit = 300_000} = {}) {
  return async () => {
    const mesh = new Mesh(name);
    let timer;
    try {
      await Promise.race([body(mesh), new Promise((_, fail) => { timer = setTimeout(fail, limit, new Error(`not over within ${limit} ms`)); })]);
    } catch (error) {
      console.log(mesh.logs());
      throw error;
    } finally {
      clearTimeout(timer);
      await mesh.stop();
    }
  };
}

export function run(command, args, options = {}) {
  return new Promise(done => {
    execFile(command, args, {maxBuffer: 1 << 26, timeout: 120_000, env: plainEnv, ...options}, (error, stdout, stderr) =>
      done({code: error ? (error.code ?? 1) : 0, stdout, stderr}));
  });
}

export function ctl(node, ...args) {
  return run(join(bin, 'meshctl'), ['--data', node.data, ...args]);
}

export async function ctlJson(node, ...args) {
  const result = await ctl(node, '--json', ...args);
  if (result.code !== 0) throw new Error(`meshctl ${args.join(' ')}: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

export const url = (node, path = '/mcp') => `http://${node.http}${path}`;

// One modern, stateless JSON-RPC request by hand; the whole answer.
export async function modern(node, method, params = {}, {path = '/mcp', id = 1, headers = {}, signal} = {}) {
  const name = params.name ?? params.uri;
  const response = await fetch(url(node, path), {
    method: 'POST', signal,
    headers: {
      'content-type': 'application/json', accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(name ? {'mcp-name': name} : {}), ...headers,
    },
    body: JSON.stringify({jsonrpc: '2.0', id, method, params: {
      ...params,
      _meta: {'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}, ...params._meta},
    }}),
  });
  const text = await response.text();
  const sse = (response.headers.get('content-type') ?? '').startsWith('text/event-stream');
  const messages = sse
    ? text.split('\n').filter(line => line.startsWith('data:')).map(line => JSON.parse(line.slice(5)))
    : text ? [JSON.parse(text)] : [];
  return {status: response.status, text, messages, message: messages.at(-1)};
}

// All processes whose ancestor is pid, itself not counted.
export function descendants(pid) {
  const parents = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      parents.set(Number(entry), {parent: Number(rest[1]), state: rest[0]});
    } catch {}
  }
  const found = [];
  for (let grew = true; grew;) {
    grew = false;
    for (const [child, {parent, state}] of parents)
      if ((parent === pid || found.some(f => f.pid === parent)) && !found.some(f => f.pid === child)) {
        found.push({pid: child, state});
        grew = true;
      }
  }
  return found;
}
