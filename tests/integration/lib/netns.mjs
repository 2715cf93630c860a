// Hosts of our own: network namespaces joined by a bridge in one more namespace, so that nothing touches
// the machine's own network. Paths are cut by iptables, in one direction or both. Needs root.
import {execFileSync} from 'node:child_process';

const ip = (...args) => execFileSync('ip', args, {stdio: ['ignore', 'pipe', 'pipe']});

export function canMakeNamespaces() {
  const name = `mn-probe-${process.pid}`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'exec', name, 'iptables', '-L', '-n');
    return true;
  } catch {
    return false;
  } finally {
    try { ip('netns', 'del', name); } catch {}
  }
}

export class Hosts {
  // Hosts 1..count have the addresses 10.77.0.1 .. 10.77.0.count.
  constructor(count) {
    this.prefix = `mn${process.pid % 10000}`;
    this.count = count;
    this.bridge = `${this.prefix}br`;
    ip('netns', 'add', this.bridge);
    ip('netns', 'exec', this.bridge, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    ip('netns', 'exec', this.bridge, 'ip', 'link', 'set', 'br0', 'up');
    for (let i = 1; i <= count; i++) {
      const ns = this.name(i);
      ip('netns', 'add', ns);
      ip('link', 'add', `${this.prefix}v${i}`, 'netns', this.bridge, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns);
      ip('netns', 'exec', this.bridge, 'ip', 'link', 'set', `${this.prefix}v${i}`, 'master', 'br0', 'up');
      ip('netns', 'exec', ns, 'ip', 'addr', 'add', `${this.address(i)}/24`, 'dev', 'eth0');
      ip('netns', 'exec', ns, 'ip', 'link', 'set', 'eth0', 'up');
      ip('netns', 'exec', ns, 'ip', 'link', 'set', 'lo', 'up');
    }
  }

  name(i) { return `${this.prefix}h${i}`; }
  address(i) { return `10.77.0.${i}`; }

  // Nothing from host [from] reaches host [to] any more.
  cut(from, to) {
    ip('netns', 'exec', this.name(to), 'iptables', '-A', 'INPUT', '-s', this.address(from), '-j', 'DROP');
  }

  heal() {
    for (let i = 1; i <= this.count; i++) ip('netns', 'exec', this.name(i), 'iptables', '-F', 'INPUT');
  }

  done() {
    for (let i = 1; i <= this.count; i++) try { ip('netns', 'del', this.name(i)); } catch {}
    try { ip('netns', 'del', this.bridge); } catch {}
  }
}
