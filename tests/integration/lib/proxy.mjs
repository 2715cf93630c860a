// A long and bad path on real sockets: every chunk is late, some are very late (what a lost packet costs a TCP stream: the
// time until it is sent again, for all that follows too), and all connections can be reset.
import net from 'node:net';

const MOST = 1 << 20; // bytes under way in one direction of one connection

export class Proxy {
  // delay and jitter in ms, one way; loss: the share of chunks that wait for a retransmission.
  constructor({delay = 0, jitter = 0, loss = 0} = {}) {
    Object.assign(this, {delay, jitter, loss, target: null, connections: 0, lost: 0});
    this.sockets = new Set();
  }

  async listen() {
    this.server = net.createServer(socket => this.accept(socket));
    await new Promise(done => this.server.listen(0, '127.0.0.1', done));
    this.address = `127.0.0.1:${this.server.address().port}`;
    return this;
  }

  accept(client) {
    if (!this.target) return void client.destroy();
    const [host, port] = this.target.split(':');
    const server = net.connect(Number(port), host);
    this.connections++;
    for (const [from, to] of [[client, server], [server, client]]) {
      this.sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => { this.sockets.delete(from); to.destroy(); });
      this.carry(from, to);
    }
  }

  carry(from, to) {
    let last = 0, underWay = 0;
    const queue = []; // timers of one millisecond fire in any order
    const send = then => {
      queue.push(then);
      const isLost = Math.random() < this.loss;
      this.lost += isLost;
      last = Math.max(last, performance.now() + this.delay + this.jitter * Math.random() + (isLost ? 200 + 400 * Math.random() : 0));
      setTimeout(() => { const next = queue.shift(); if (!to.destroyed) next(); }, last - performance.now());
    };
    from.on('data', bytes => {
      if ((underWay += bytes.length) > MOST) from.pause();
      send(() => { if ((underWay -= bytes.length) <= MOST) from.resume(); to.write(bytes); });
    });
    from.on('end', () => send(() => to.end()));
  }

  reset() {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  // As a host that is gone for a while: what is open breaks, what is new is refused.
  cut() {
    this.server.close();
    this.reset();
  }

  heal() {
    return new Promise(done => this.server.listen(Number(this.address.split(':')[1]), '127.0.0.1', done));
  }

  close() {
    this.server.close();
    this.reset();
  }
}
