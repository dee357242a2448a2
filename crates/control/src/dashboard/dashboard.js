// Reads the page again when something has happened, and says when the server is away. Without it, pages work as well.
'use strict';

const AWAY_AFTER = 3; // beats that may be missing
let beat = 20000; // milliseconds between two beats, measured
let latest = Date.now();
let away = false;
let source = null;
let reading = false;
let again = false;
let wait = null;

const follows = () => document.getElementById('live')?.dataset.follows;

function say(text, kind) {
  const line = document.getElementById('connection');
  if (line.textContent !== text) line.textContent = text;
  line.className = kind;
}

function clock() {
  return new Date().toISOString().slice(11, 19) + ' UTC';
}

function isAway() {
  if (away) return;
  away = true;
  say('The server does not answer. This is how things stood at ' + clock() + '; trying again.', 'away');
}

function isThere() {
  latest = Date.now();
  if (!away) return;
  away = false;
  say('The server is back since ' + clock() + '.', 'back');
}

// Puts what has changed in the place of what was there. What has the focus or is open stays so.
function put(text) {
  const other = new DOMParser().parseFromString(text, 'text/html');
  const [now, next] = [document.getElementById('live'), other.getElementById('live')];
  if (!next || now.innerHTML === next.innerHTML) return;
  const focused = document.activeElement;
  const id = now.contains(focused) ? focused.id || focused.closest('[id]')?.id : null;
  const href = focused instanceof HTMLAnchorElement ? focused.getAttribute('href') : null;
  const open = [...now.querySelectorAll('details[open]')].map((it) => it.id);
  const scrolled = [window.scrollX, window.scrollY];
  const chosen = document.getElementById('namespace')?.value;
  now.replaceWith(next);
  open.forEach((it) => document.getElementById(it)?.setAttribute('open', ''));
  if (chosen !== undefined && document.getElementById('namespace')) document.getElementById('namespace').value = chosen;
  if (id !== null) {
    const same = href ? [...next.querySelectorAll('a')].find((it) => it.getAttribute('href') === href) : null;
    (same ?? document.getElementById(id))?.focus({ preventScroll: true });
  }
  window.scrollTo(...scrolled);
  const title = other.querySelector('title')?.textContent;
  if (title) document.title = title;
}

async function read() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
    if (answer.redirected && new URL(answer.url).pathname === '/sign-in') {
      location.assign(answer.url);
      return;
    }
    if (answer.ok) {
      isThere();
      put(await answer.text());
    } else if (answer.status === 503) {
      isAway();
    } else {
      location.reload();
    }
  } catch {
    isAway();
  } finally {
    reading = false;
    if (again) {
      again = false;
      soon();
    }
  }
}

// Several events in a moment are one reading.
function soon() {
  wait ??= setTimeout(() => {
    wait = null;
    read();
  }, 150);
}

function watch() {
  source?.close();
  source = new EventSource('/events');
  source.addEventListener('beat', () => {
    const now = Date.now();
    if (!away && now - latest > 500) beat = Math.max(2000, Math.min(beat, now - latest));
    const was = away;
    isThere();
    latest = now;
    if (was || follows()) soon();
  });
  source.addEventListener('changed', (event) => {
    if (follows() === '*' || follows() === event.data) soon();
  });
  source.addEventListener('over', () => {
    source.close();
    read();
  });
  source.addEventListener('error', () => {
    isAway();
    // A browser tries again by itself, except after an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => read().then(watch), 2000);
  });
}

if (follows()) {
  watch();
  setInterval(() => {
    if (Date.now() - latest > AWAY_AFTER * beat + 1000) isAway();
  }, 1000);
}

// A choice of a list shows at once what the button beside it would show.
document.addEventListener('change', (event) => {
  if (event.target.id === 'namespace') event.target.form.requestSubmit();
});
