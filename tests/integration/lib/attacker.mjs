// Opens many hostile connections to a mesh port: node attacker.mjs HOST PORT COUNT SECONDS. A quarter each: silent, a byte
// per second, the beginning of a TLS handshake, random bytes; from a hundred addresses of this host. Prints what became of them.
import net from 'node:net';
import {randomBytes} from 'node:crypto';

const [host, port, count, seconds] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const tls = Buffer.from('16030100c8010000c40303', 'hex');
const kinds = [
  () => {},
  socket => { const timer = setInterval(() => socket.destroyed ? clearInterval(timer) : socket.write('M'), 1000); socket.on('close', () => clearInterval(timer)); },
  socket => socket.write(Buffer.concat([tls, randomBytes(200)])),
  socket => socket.write(randomBytes(1 + Math.floor(Math.random() * 4096))),
];
const result = {opened: 0, refused: 0, closed: 0, most: 0};
let open = 0, done = 0;

function one(i) {
  const socket = net.connect({host, port, localAddress: `127.0.0.${2 + i % 100}`});
  socket.on('connect', () => {
    result.opened++;
    result.most = Math.max(result.most, ++open);
    kinds[i % kinds.length](socket);
    socket.on('close', () => { open--; result.closed++; });
  });
  socket.on('error', () => { if (socket.connecting || socket.bytesWritten === 0) result.refused++; });
  socket.on('close', () => { done++; });
  setTimeout(() => socket.destroy(), 10_000).unref();
}

const begin = Date.now();
let next = 0;
const timer = setInterval(() => {
  const due = Math.min(count, Math.ceil(count * (Date.now() - begin) / (seconds * 1000)));
  while (next < due && open < 4000) one(next++);
  if (next < count || done < count && Date.now() - begin < seconds * 1000 + 12_000) return;
  clearInterval(timer);
  console.log(JSON.stringify(result));
  process.exit(0);
}, 10);
