// Reads the page again when something has happened, and says when the server is away. Without it, pages work as well.
'use strict';

// Milliseconds: what an event may be late, what a page may take, and until events are asked for anew.
const LATE = 5000;
const PATIENCE = 15000;
const AGAIN = 2000;
// What tells elements without an id from one another. With these they stay what they are, whatever changes in them.
const MARKS = ['class', 'href', 'value', 'aria-label', 'aria-labelledby'];

let beat = 15000; // milliseconds, as the server says with each beat
let latest = 0; // when the server has said something
let away = null; // since when the page cannot be read
let source = null;
let reading = false;
let again = false;
let wait = null;

const follows = () => document.getElementById('live')?.dataset.follows;
const isHidden = () => document.visibilityState === 'hidden';

function say(text, kind) {
  const line = document.getElementById('connection');
  if (line.textContent !== text) line.textContent = text;
  line.className = kind;
}

function clock() {
  return new Date().toISOString().slice(11, 19) + ' UTC';
}

function isAway(why) {
  away ??= clock();
  say(`${why} This is how things stood at ${away}; trying again.`, 'away');
}

function isThere() {
  if (away) say(`The server is back since ${clock()}.`, 'back');
  away = null;
}

function isSame(one, other) {
  if (one.nodeName !== other.nodeName) return false;
  if (one.id || other.id) return one.id === other.id;
  return MARKS.every((mark) => one.getAttribute?.(mark) === other.getAttribute?.(mark));
}

// Makes an element what another one is. What is in both stays: so do the focus, a selection, what is scrolled and what is open.
function become(now, next) {
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (name !== 'open' && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  let place = now.firstChild;
  for (const wanted of [...next.childNodes]) {
    let found = place;
    while (found && !isSame(found, wanted)) found = found.nextSibling;
    if (!found) {
      now.insertBefore(wanted, place);
      continue;
    }
    while (place !== found) place = without(place);
    if (found instanceof Element) become(found, wanted);
    else if (found.data !== wanted.data) found.data = wanted.data;
    place = found.nextSibling;
  }
  while (place) place = without(place);
}

function without(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function put(page) {
  for (const part of ['header', '#live']) become(document.querySelector(part), page.querySelector(part));
  document.title = page.title;
}

async function read() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store', signal });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const live = page.getElementById('live');
    if (answer.redirected && new URL(answer.url).pathname === '/sign-in') {
      location.assign(answer.url);
    } else if (answer.status === 503 && live) {
      isAway(`The server cannot show this page now: ${page.getElementById('why').textContent}`);
    } else if (answer.status >= 500 || !live) {
      isAway('The server does not answer.');
    } else {
      isThere();
      // A form is not put in the place of what its answer says: somebody has to read that.
      if (live.dataset.follows || !answer.ok) put(page);
    }
  } catch {
    isAway('The server does not answer.');
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

// A browser has six connections to a server, for all of its tabs. One that nobody sees holds none of them.
function watch() {
  source?.close();
  source = null;
  if (isHidden()) return;
  latest = Date.now();
  source = new EventSource('/events');
  source.addEventListener('beat', (event) => {
    latest = Date.now();
    beat = 1000 * Number(event.data);
    soon();
  });
  source.addEventListener('changed', (event) => {
    latest = Date.now();
    if (follows() === '*' || follows() === event.data) soon();
  });
  source.addEventListener('over', () => {
    source.close();
    lost();
  });
  source.addEventListener('error', lost);
}

// An end of events says little: the page does, when it is read. A browser asks for events again by itself, except after an
// answer that is no stream.
async function lost() {
  await read();
  if (source?.readyState === EventSource.CLOSED) setTimeout(watch, AGAIN);
}

if (follows()) {
  watch();
  document.addEventListener('visibilitychange', () => {
    if (isHidden()) watch();
    else read().then(watch);
  });
  // The server beats at the latest after twice the time that it says.
  setInterval(() => {
    if (!source || Date.now() - latest <= 2 * beat + LATE) return;
    watch();
    read();
  }, 1000);
}

// A choice of a list shows at once what the button beside it would show.
document.addEventListener('change', (event) => {
  if (event.target.id === 'namespace') event.target.form.requestSubmit();
});
