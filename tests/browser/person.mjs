// A person with a browser: what they see is kept as a picture, and what a page does wrong is remembered.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = process.env.COALMINE_PICTURES ?? 'target/browser';
mkdirSync(PICTURES, { recursive: true });

/** Debian's Chromium, without what needs a sandbox, a graphics card or another host. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
}

export class Person {
  constructor(context, page, address) {
    Object.assign(this, { context, page, address, wrong: [], mayFail: false });
    page.on('console', (message) => {
      if (message.type() === 'error') this.note(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.note(`script: ${error}`));
    page.on('requestfailed', (request) => {
      // What a page leaves undone because another one is opened is nothing wrong.
      const why = request.failure()?.errorText;
      if (why !== 'net::ERR_ABORTED') this.note(`${request.method()} ${request.url()}: ${why}`);
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(address) && !request.url().startsWith('data:')) this.note(`elsewhere: ${request.url()}`);
    });
  }

  static async at(browser, address, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
    return new Person(context, await context.newPage(), address);
  }

  note(text) {
    if (!this.mayFail) this.wrong.push(text);
  }

  goto(path) {
    return this.page.goto(this.address + path);
  }

  async signIn(token) {
    await this.goto('/');
    await this.page.getByLabel('Token').fill(token);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('heading', { name: 'Rollouts' }).waitFor();
  }

  /** A verb with its page in between. */
  async says(name, verb, message) {
    await this.goto(`/rollouts/${name}`);
    await this.page.getByRole('link', { name: verb, exact: true }).click();
    await this.page.getByLabel('Why, for history').fill(message);
    await this.page.getByRole('button', { name: verb, exact: true }).click();
    await this.page.waitForURL(`${this.address}/rollouts/${name}`);
  }

  async keeps(picture) {
    await this.page.screenshot({ path: `${PICTURES}/${picture}.png`, fullPage: true });
  }

  /** Axe finds nothing, and nothing is wider than the window. */
  async isAccessible() {
    await this.page.evaluate(AXE);
    const found = await this.page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document);
      return violations.flatMap((it) => it.nodes.map((node) => `${it.id}: ${node.html} ${node.failureSummary}`));
    });
    assert.deepEqual(found, [], this.page.url());
    const wider = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wider <= 0, `${this.page.url()} is ${wider} pixels wider than the window`);
  }

  async leaves() {
    await this.context.close();
    assert.deepEqual(this.wrong, []);
  }
}
