// A real server, and what people and pipelines say to it by its API.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const COMMAND = process.env.COALMINE_COMMAND;

/** A port that is free now. */
export function freePort() {
  return new Promise((found, failed) => {
    const probe = createServer().on('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => found(port));
    });
  });
}

/** Waits until `holds` gives something, and says what did not come. */
export async function until(what, holds, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come in ${seconds} s`);
    await new Promise((later) => setTimeout(later, 100));
  }
}

/** `coalmine serve` with a store in a folder of its own. It can be stopped and started again where it was. */
export class Server {
  constructor(port, admin, config, token, tick = '1s') {
    this.folder = mkdtempSync(join(tmpdir(), 'coalmine-browser-'));
    this.config = join(this.folder, 'server.yaml');
    this.address = `http://127.0.0.1:${port}`;
    this.token = token;
    writeFileSync(
      this.config,
      `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${admin}\nstore: ${this.folder}/coalmine.db\n` +
        `tick: ${tick}\npolicy: {slow: [250ms]}\n${config(this.folder)}`,
    );
  }

  async start() {
    this.process = spawn(COMMAND, ['serve', '--config', this.config], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.log = '';
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (text) => (this.log += text));
    this.ended = new Promise((ended) => this.process.on('exit', ended));
    await until('the server', async () => {
      if (this.process.exitCode !== null) throw new Error(`the server has ended: ${this.log}`);
      return fetch(`${this.address}/sign-in`, { redirect: 'manual' }).then(() => true, () => false);
    });
  }

  async stop() {
    if (!this.process) return;
    this.process.kill('SIGTERM');
    await this.ended;
    this.process = null;
  }

  async remove() {
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  async ask(method, path, body, type = 'application/json') {
    const headers = { 'content-type': type };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const answer = await fetch(`${this.address}/v1/${path}`, { method, headers, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return { headers: answer.headers, body: text === '' ? null : JSON.parse(text) };
  }

  apply(name, document) {
    return this.ask('PUT', `rollouts/${name}`, document, 'application/yaml');
  }

  say(name, verb, message = '') {
    return this.ask('POST', `rollouts/${name}/${verb}`, JSON.stringify({ message }));
  }

  async rollout(name) {
    return (await this.ask('GET', `rollouts/${name}`)).body;
  }

  reaches(name, phase) {
    return until(`${name} ${phase}`, async () => (await this.rollout(name)).phase === phase);
  }
}
