// Scripted pages of metrics, in place of proxies: they count requests as the policy's weights have them, with the shares of
// bad and slow ones that a test says. No request is ever sent. Real Envoys are in tests/server.
import { createServer } from 'node:http';

const GROUPS = 16;
/** Requests in a second, of each rollout on each page. */
const RATE = 600;

/** One page. `server` is asked for the revision and the weights. */
export class ScriptedProxy {
  constructor(name, server, shares) {
    Object.assign(this, { name, server, shares, began: Date.now(), counted: Date.now(), revision: 0, counts: new Map() });
  }

  async listen(port) {
    this.http = createServer((_, answer) => {
      this.page().then((text) => answer.end(text), () => answer.writeHead(503).end());
    });
    await new Promise((listens) => this.http.listen(port, '127.0.0.1', listens));
  }

  close() {
    this.http.close();
    this.http.closeAllConnections();
  }

  async page() {
    const policy = await this.server.ask('GET', 'policy');
    this.revision = policy.headers.get('coalmine-revision');
    const weights = new Map(policy.body.rollouts.map((it) => [it.name, it.variants.find((v) => v.name === 'canary')?.weight ?? 0]));
    const passed = (Date.now() - this.counted) / 1000;
    this.counted = Date.now();
    for (const [name, weight] of weights) this.count(name, weight / 100, passed);
    return this.text();
  }

  count(name, share, seconds) {
    const shares = this.shares[name];
    if (!shares) return;
    for (const [variant, part] of [['stable', 1 - share], ['canary', share]]) {
      const key = `rollout="${name}",variant="${variant}"`;
      const counts = this.counts.get(key) ?? { came: 0, bad: 0, slow: 0 };
      const came = RATE * seconds * part;
      counts.came += came;
      counts.bad += came * shares[variant].bad;
      counts.slow += came * shares[variant].slow;
      this.counts.set(key, counts);
    }
  }

  text() {
    const lines = [
      `coalmine_policy_revision ${this.revision}`,
      `coalmine_build_info{version="0.1.0",node="${this.name}"} 1`,
      `envoy_server_uptime ${Math.floor((Date.now() - this.began) / 1000)}`,
    ];
    const spread = (name, labels, total) => {
      const whole = Math.floor(total);
      for (let group = 0; group < GROUPS; group += 1) {
        lines.push(`${name}{${labels},group="${group}"} ${Math.floor((whole + group) / GROUPS)}`);
      }
    };
    for (const [labels, { came, bad, slow }] of this.counts) {
      lines.push(`coalmine_requests_total{${labels},reason="bucket"} ${Math.floor(came)}`);
      spread('coalmine_all_total', labels, came);
      spread('coalmine_bad_total', labels, bad);
      spread('coalmine_slow_total', `${labels},threshold="250ms"`, slow);
    }
    return `${lines.join('\n')}\n`;
  }
}
