// The dashboard of a real server, as a person sees it in a real browser. `make test-browser` runs it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Person, launch } from './person.mjs';
import { ScriptedProxy } from './proxies.mjs';
import { Server, freePort, until } from './server.mjs';

const ADMIN = 'admin-0123456789abcdef';
const READER = 'reader-0123456789abcdef';
const GUARDS = 'minRequests: 100, warmUp: 0s, guards: {errors: {}, latency: {slowerThan: 250ms}}';
const HEALTHY = { stable: { bad: 0.002, slow: 0.04 }, canary: { bad: 0.0021, slow: 0.041 } };
const BROKEN = { stable: { bad: 0.002, slow: 0.04 }, canary: { bad: 0.3, slow: 0.04 } };

const plan = (steps, dwell) => `
policy:
  match: {hosts: [HOST]}
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: ${steps}, dwell: ${dwell}, ${GUARDS}}
`;
const rollout = (host, steps, dwell = '1h') => plan(steps, dwell).replace('HOST', `${host}.example`);

// Every phase, each by what leads to it.
const SHARES = {
  'shop/checkout': HEALTHY,
  'shop/search': HEALTHY,
  'shop/cart': HEALTHY,
  'shop/payments': HEALTHY,
  'shop/returns': HEALTHY,
  'bank/transfers': BROKEN,
};

let browser;
let server;
let proxies;

before(async () => {
  browser = await launch();
  const [port, admin, ...pages] = await Promise.all([1, 2, 3, 4].map(freePort));
  const config = (folder) => {
    writeFileSync(`${folder}/admin.token`, ADMIN);
    writeFileSync(`${folder}/reader.token`, READER);
    return (
      'tokens:\n' +
      `- {name: admins, value: {file: ${folder}/admin.token}, may: write}\n` +
      `- {name: readers, value: {file: ${folder}/reader.token}, may: read, rollouts: [shop/*]}\n` +
      `evidence: {proxies: [${pages.map((page) => `'127.0.0.1:${page}'`).join(', ')}]}\n`
    );
  };
  server = new Server(port, admin, config, ADMIN);
  await server.start();
  proxies = ['edge-1', 'edge-2'].map((name) => new ScriptedProxy(name, server, SHARES));
  await Promise.all(proxies.map((proxy, place) => proxy.listen(pages[place])));
  await server.apply('shop/checkout', rollout('checkout', '[1, 5, 25, 50]'));
  await server.apply('shop/search', rollout('search', '[{weight: 5, approval: true}, 50]', '1s'));
  await server.apply('shop/cart', rollout('cart', '[5, 25]'));
  await server.apply('shop/payments', rollout('payments', '[5, 25]'));
  await server.apply('shop/profile', rollout('profile', '[5, 25]'));
  const slowly = rollout('returns', '[5, 25]').replace('plan: {', 'plan: {rollback: {down: [5, 0], every: 1h}, ');
  await server.apply('shop/returns', slowly);
  await server.apply('bank/transfers', rollout('transfers', '[10, 25]'));
  for (const name of Object.keys(SHARES)) await server.say(name, 'start', 'build 7');
  for (const verb of ['advance', 'advance', 'rollback']) await server.say('shop/returns', verb, 'too few staff');
  await server.say('shop/checkout', 'advance', 'tested by hand');
  await server.say('shop/cart', 'pause', 'until Monday');
  await server.say('shop/payments', 'promote', 'all checks are green');
  await server.reaches('shop/search', 'WaitingForApproval');
  await server.reaches('bank/transfers', 'RolledBack');
  await server.reaches('shop/payments', 'Promoting');
});

after(async () => {
  await browser?.close();
  proxies?.forEach((proxy) => proxy.close());
  await server?.remove();
});

const PHASES = [
  ['shop/profile', 'Idle', 'idle'],
  ['shop/checkout', 'Progressing', 'progressing'],
  ['shop/search', 'Waiting for approval', 'waiting-for-approval'],
  ['shop/cart', 'Paused', 'paused'],
  ['shop/payments', 'Promoting', 'promoting'],
  ['shop/returns', 'Rolling back', 'rolling-back'],
  ['bank/transfers', 'Rolled back', 'rolled-back'],
];

for (const [look, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
]) {
  test(`each phase as a person sees it: ${look}`, async () => {
    const person = await Person.at(browser, server.address, options);
    await person.goto('/');
    await person.isAccessible();
    await person.keeps(`${look}-sign-in`);
    await person.signIn(ADMIN);
    for (const [name, phase] of PHASES) {
      await person.page.getByRole('row', { name }).getByText(phase, { exact: true }).waitFor();
    }
    await person.isAccessible();
    await person.keeps(`${look}-list`);
    for (const [name, phase, picture] of PHASES) {
      await person.goto(`/rollouts/${name}`);
      await person.page.getByRole('heading', { level: 1, name: new RegExp(`${name}.*${phase}`) }).waitFor();
      await person.isAccessible();
      await person.keeps(`${look}-${picture}`);
    }
    for (const [path, picture] of [
      ['/proxies', 'proxies'],
      ['/rollouts/shop/checkout/rollback', 'asked'],
      ['/rollouts/no/such', 'none'],
    ]) {
      person.mayFail = picture === 'none';
      await person.goto(path);
      await person.isAccessible();
      await person.keeps(`${look}-${picture}`);
      person.mayFail = false;
    }
    await person.leaves();
  });
}

test('the evidence says what is judged, in numbers and in words', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(ADMIN);
  await person.goto('/rollouts/bank/transfers');
  const errors = person.page.getByRole('article', { name: 'Guard errors' });
  await errors.getByText('Harm is proved', { exact: true }).waitFor();
  const rate = await errors.getByRole('row', { name: /^canary/ }).getByRole('cell').nth(2).textContent();
  const found = Number.parseFloat(rate);
  assert.ok(found > 20 && found < 40, `the canary's errors are 30 %, and the page says ${rate}`);
  await person.page.getByRole('row', { name: /^sample ratio/ }).waitFor();
  await person.page.getByText(/2 of 2 run revision/).waitFor();
  await person.leaves();
});

test('a page changes by itself, and what has the focus keeps it', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(ADMIN);
  await person.goto('/rollouts/shop/profile');
  await person.page.getByRole('link', { name: 'Start a release' }).focus();
  await person.page.getByText('The document, as it was written').click();
  await person.page.getByRole('link', { name: 'Start a release' }).focus();
  await server.say('shop/profile', 'start', 'by somebody else');
  await person.page.getByText('Progressing', { exact: true }).waitFor();
  await person.page.getByRole('link', { name: 'Pause' }).waitFor();
  assert.ok(await person.page.locator('details').getAttribute('open') !== null, 'what was open stays so');
  await person.page.getByRole('link', { name: 'Pause' }).focus();
  await person.page.locator('.large', { hasText: '5 %' }).waitFor();
  await server.say('shop/profile', 'advance', 'and once more');
  await person.page.locator('.large', { hasText: '25 %' }).waitFor();
  assert.equal(await person.page.evaluate(() => document.activeElement.textContent), 'Pause');
  await person.leaves();
});

test('what is read and where somebody is stays so while the page changes', async () => {
  const person = await Person.at(browser, server.address, { viewport: { width: 360, height: 740 } });
  const { page } = person;
  await person.signIn(ADMIN);
  await person.goto('/rollouts/shop/checkout');
  const rates = page.getByRole('region', { name: 'Rates of errors' });
  const summary = page.getByText('The document, as it was written');
  const written = page.locator('#document pre');
  await summary.click();
  for (const wide of [rates, written]) {
    assert.equal(await wide.evaluate((it) => (it.scrollLeft = 40) && it.scrollLeft), 40, 'it is wider than a phone');
  }
  // Each reading says anew how long ago something was.
  const facts = page.getByRole('region', { name: 'Where it is' });
  for (const focused of [summary, rates, written, page.getByRole('link', { name: 'Proxies' }).first()]) {
    await focused.focus();
    for (let beats = 0; beats < 2; beats += 1) {
      const before = await facts.textContent();
      await until('a beat', async () => (await facts.textContent()) !== before);
    }
    assert.ok(await focused.evaluate((it) => it === document.activeElement), `the focus is still at ${focused}`);
  }
  for (const wide of [rates, written]) assert.equal(await wide.evaluate((it) => it.scrollLeft), 40);
  assert.ok(await written.isVisible(), 'what was open stays so');
  await person.leaves();
});

test('the namespaces keep the focus while the list changes', async () => {
  const person = await Person.at(browser, server.address);
  const { page } = person;
  await person.signIn(ADMIN);
  const link = page.getByRole('link', { name: 'shop/checkout' });
  for (const focused of [page.getByRole('button', { name: 'Show' }), link]) {
    await focused.focus();
    const name = focused === link ? 'aaa/before' : 'shop/aaa';
    await server.apply(name, rollout(name.replace('/', '-'), '[5, 25]'));
    await page.getByRole('link', { name }).waitFor();
    assert.ok(await focused.evaluate((it) => it === document.activeElement), `the focus is still at ${focused}`);
    await server.ask('DELETE', `rollouts/${name}`);
    await page.getByRole('link', { name }).waitFor({ state: 'detached' });
    assert.ok(await focused.evaluate((it) => it === document.activeElement), `the focus is still at ${focused}`);
  }
  await person.leaves();
});

test('approve and roll back', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(ADMIN);
  await person.says('shop/search', 'Approve', 'looks good <b>to me</b>');
  await person.page.getByText('approve by admins (looks good <b>to me</b>)').first().waitFor();
  await person.page.locator('.large', { hasText: '50 %' }).waitFor({ timeout: 60_000 });
  await person.says('shop/search', 'Roll back', 'support calls');
  await person.page.getByText('Rolled back', { exact: true }).first().waitFor();
  assert.equal((await server.rollout('shop/search')).weight, 0);
  await person.leaves();
});

test('by the keyboard alone', async () => {
  const person = await Person.at(browser, server.address);
  const { page } = person;
  const tabTo = async (text) => {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate(() => document.activeElement.textContent || document.activeElement.id);
      if (focused === text) return;
    }
    assert.fail(`Tab does not lead to ${text}`);
  };
  await person.goto('/rollouts/shop/checkout');
  await page.keyboard.type(ADMIN);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: /shop\/checkout/ }).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await person.keeps('keyboard-skip');
  await tabTo('Pause');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: /Pause/ }).waitFor();
  await tabTo('message');
  await page.keyboard.type('lunch');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('by admins (lunch)').first().waitFor();
  await page.getByText('Paused', { exact: true }).first().waitFor();
  await person.leaves();
});

test('frozen, and not frozen any more', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(ADMIN);
  await person.page.getByRole('link', { name: 'Freeze' }).click();
  await person.page.getByLabel('Why, for history').fill('an incident');
  await person.page.getByRole('button', { name: 'Freeze everything' }).click();
  await person.page.getByText('Everything is frozen').waitFor();
  await person.isAccessible();
  await person.keeps('light-frozen');
  await person.goto('/rollouts/bank/transfers/start');
  person.mayFail = true; // The answer is an error, 409.
  await person.page.getByRole('button', { name: 'Start a release' }).click();
  await person.page.getByText('the server is frozen: by admins (an incident)').waitFor();
  person.mayFail = false;
  await person.isAccessible();
  await person.keeps('light-refused');
  await person.page.getByRole('link', { name: 'End the freeze' }).click();
  await person.page.getByRole('button', { name: 'End the freeze' }).click();
  await person.page.getByRole('link', { name: 'Freeze' }).waitFor();
  await person.leaves();
});

test('without JavaScript', async () => {
  const person = await Person.at(browser, server.address, { javaScriptEnabled: false });
  await person.signIn(ADMIN);
  await person.page.getByLabel('Namespace').selectOption('bank');
  await person.page.getByRole('button', { name: 'Show' }).click();
  assert.equal(await person.page.getByRole('row').count(), 2);
  await person.says('bank/transfers', 'Start a release', 'repaired');
  await person.page.getByText('started by admins (repaired)').first().waitFor();
  await person.leaves();
});

test('a reader sees what is theirs, without verbs, until the token is withdrawn', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(READER);
  assert.equal(await person.page.getByText('bank').count(), 0);
  await person.goto('/rollouts/shop/checkout');
  assert.equal(await person.page.getByRole('navigation', { name: 'What you can do' }).count(), 0);
  assert.equal(await person.page.getByText('edge-1').count(), 0);
  person.mayFail = true; // The answer says that it may not be seen, 404.
  await person.goto('/rollouts/bank/transfers');
  await person.page.getByText('you may not see it').waitFor();
  person.mayFail = false;
  await person.goto('/rollouts/shop/checkout');
  writeFileSync(`${server.folder}/reader.token`, 'another-0123456789abcdef');
  server.process.kill('SIGHUP');
  await person.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.match(person.page.url(), /next=\/rollouts\/shop\/checkout/);
  await person.leaves();
});

test('a page that cannot be shown now comes by itself', async () => {
  const person = await Person.at(browser, server.address);
  const { page } = person;
  await person.signIn(ADMIN);
  await person.goto('/rollouts/shop/returns');
  const heading = page.getByRole('heading', { level: 1, name: /shop\/returns/ });
  // Nothing that this server asks can be away: another page of errors stands for that one, as the server would mark it.
  const refused = /\/(events|rollouts\/shop\/returns)$/;
  const refuse = async (route) => {
    const response = await route.fetch({ url: `${server.address}/rollouts/no/such` });
    const body = (await response.text()).replace('<div id="live">', '<div id="live" data-follows="*">');
    await route.fulfill({ response, status: 503, body });
  };
  person.mayFail = true; // The answers are errors, 503 and 404.
  await page.route(refused, refuse);
  await page.getByText('The server cannot show this page now: there is no such rollout').waitFor();
  assert.ok(await heading.isVisible(), 'what was there stays');
  await page.unrouteAll({ behavior: 'wait' });
  await page.getByText('The server is back').waitFor();
  await page.route(refused, refuse);
  await page.reload();
  await page.getByRole('heading', { name: 'Not Found' }).waitFor();
  await page.unrouteAll({ behavior: 'wait' });
  await heading.waitFor();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();

  await server.apply('shop/brief', rollout('brief', '[5, 25]'));
  await person.goto('/rollouts/shop/brief');
  await server.ask('DELETE', 'rollouts/shop/brief');
  await page.getByText('there is no such rollout').waitFor();
  await server.apply('shop/brief', rollout('brief', '[5, 25]'));
  await page.getByRole('heading', { level: 1, name: /shop\/brief/ }).waitFor();
  person.mayFail = false;
  await person.leaves();
});

test('nobody sees seven tabs, and the eighth is as live as the first', async () => {
  const person = await Person.at(browser, server.address);
  await person.signIn(ADMIN);
  await server.apply('shop/tabs', rollout('tabs', '[5, 25]'));
  // A browser without a window takes no page for hidden, so the page is told in its place.
  const turn = (page, state) =>
    page.evaluate((said) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => said });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  const tabs = [];
  for (let number = 1; number <= 8; number += 1) {
    if (number > 1) await turn(tabs.at(-1), 'hidden');
    const tab = number > 1 ? await person.context.newPage() : person.page;
    const live = tab.waitForResponse(`${server.address}/events`);
    await Promise.all([live, tab.goto(`${server.address}/rollouts/shop/tabs`)]);
    tabs.push(tab);
  }
  const [first, last] = [tabs[0], tabs[7]];
  const started = (tab) => tab.getByRole('heading', { level: 1, name: /Progressing/ });
  await server.say('shop/tabs', 'start', 'seen in the eighth');
  await started(last).waitFor();
  assert.equal(await started(first).count(), 0, 'nobody sees it');
  await turn(last, 'hidden');
  await turn(first, 'visible');
  await started(first).waitFor();
  await server.say('shop/tabs', 'pause', 'seen in the first');
  await first.getByRole('heading', { level: 1, name: /Paused/ }).waitFor();
  await person.leaves();
});

test('a server that ticks seldom is not away', async () => {
  const [port, admin] = await Promise.all([freePort(), freePort()]);
  const seldom = new Server(port, admin, () => '', null, '10s');
  try {
    await seldom.start();
    await seldom.apply('shop/checkout', rollout('checkout', '[5, 25]'));
    const person = await Person.at(browser, seldom.address);
    const { page } = person;
    await person.goto('/rollouts/shop/checkout');
    await page.evaluate(() => {
      globalThis.said = [];
      const line = document.getElementById('connection');
      new MutationObserver(() => globalThis.said.push(line.textContent)).observe(line, { childList: true });
    });
    // Events that come soon after one another, as after a verb, say nothing about how long a tick is.
    await page.waitForTimeout(1500);
    await seldom.say('shop/checkout', 'start', 'build 7');
    // The page is of more than two ticks later, and has been told at each of them.
    await page.getByText(/1, started .* \([23]\ds ago\)/).waitFor({ timeout: 60_000 });
    assert.deepEqual(await page.evaluate(() => globalThis.said), []);
    await person.leaves();
  } finally {
    await seldom.remove();
  }
});

test('a server that goes away and returns, 200 rollouts and 30 days of history', async () => {
  const [port, admin] = await Promise.all([freePort(), freePort()]);
  const many = new Server(port, admin, () => '', null);
  try {
    await many.start();
    for (let number = 0; number < 200; number += 1) {
      const name = `team-${number % 10}/service-${String(number).padStart(3, '0')}`;
      await many.apply(name, rollout(`service-${number}`, '[5, 25, 50]'));
      if (number % 5 === 0) await many.say(name, 'start', 'build 1');
    }
    await many.stop();
    const grown = spawnSync('python3', [new URL('history.py', import.meta.url).pathname, `${many.folder}/coalmine.db`, 'team-0/service-000']);
    assert.equal(grown.status, 0, String(grown.stderr));
    await many.start();
    const person = await Person.at(browser, many.address);
    const took = async (path) => {
      const times = [];
      for (let round = 0; round < 5; round += 1) {
        const begin = performance.now();
        await person.goto(path);
        await person.page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn))));
        times.push(performance.now() - begin);
      }
      return Math.round(times.sort((a, b) => a - b)[2]);
    };
    const list = await took('/');
    assert.equal(await person.page.getByRole('row').count(), 201);
    await person.isAccessible();
    await person.keeps('light-many');
    const page = await took('/rollouts/team-0/service-000');
    await person.page.getByRole('link', { name: 'Older' }).waitFor();
    await person.keeps('light-long');
    console.log(`200 rollouts: ${list} ms in the median; a rollout with ${String(grown.stdout).trim()}: ${page} ms`);
    // Generous: it guards against what grows with the square of something.
    assert.ok(list < 3000 && page < 3000, `the list took ${list} ms, the rollout ${page} ms`);

    person.mayFail = true; // A server that is away makes requests fail.
    await many.stop();
    await person.page.getByText('The server does not answer').waitFor();
    await person.keeps('light-away');
    await many.start();
    await person.page.getByText('The server is back').waitFor();
    await many.say('team-0/service-000', 'pause', 'seen after the return');
    await person.page.getByText('Paused', { exact: true }).first().waitFor();
    // One that is only stopped keeps its connections, and says nothing.
    many.process.kill('SIGSTOP');
    await person.page.getByText('The server does not answer').waitFor({ timeout: 60_000 });
    many.process.kill('SIGCONT');
    await person.page.getByText('The server is back').waitFor();
    person.mayFail = false;
    await person.leaves();
  } finally {
    many.process?.kill('SIGCONT');
    await many.remove();
  }
});
