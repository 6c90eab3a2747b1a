// The strip of frames: what went over the sockets and over HTTP, as it was, the newest last.

import { beforePaint } from './paint.js';

const KEPT = 300; // lines
const ARROWS = { in: '↓', out: '↑', http: '⇡', note: '·' };
const NAMES = { in: 'received', out: 'sent', http: 'HTTP request', note: 'connection' };

export class Frames {
  #root;
  #lines = []; // {line, element}, oldest first
  #missed = []; // lines that are not shown yet, KEPT at most
  #paused = false;
  #pretty = false;
  #show = beforePaint(() => this.#catchUp());

  constructor(root) {
    this.#root = root;
    this.#find('frame-filter').oninput = () => this.#filter();
    this.#find('frame-direction').onchange = () => this.#filter();
    this.#find('frame-clear').onclick = () => this.#clear();
    this.#find('frame-pause').onclick = ({ currentTarget }) => {
      this.#paused = pressed(currentTarget);
      this.#show();
    };
    this.#find('frame-pretty').onclick = ({ currentTarget }) => {
      this.#pretty = pressed(currentTarget);
      for (const details of this.#find('frames').querySelectorAll('details')) details.open = this.#pretty;
      this.#toEnd();
    };
    this.#count();
  }

  // add takes a line: {direction: in | out | http | note, pane, title, text}; text is JSON or empty.
  add(line) {
    line.time = new Date();
    this.#missed.push(line);
    if (this.#missed.length > KEPT) this.#missed.shift();
    this.#show();
  }

  // catchUp shows the lines that came, unless it is paused.
  #catchUp() {
    if (!this.#paused) {
      const list = this.#find('frames');
      const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
      for (const line of this.#missed.splice(0)) this.#append(list, line);
      if (following) this.#toEnd();
    }
    this.#count();
  }

  #append(list, line) {
    const element = draw(line, this.#pretty);
    element.hidden = !this.#matches(line);
    list.append(element);
    this.#lines.push({ line, element });
    if (this.#lines.length > KEPT) this.#lines.shift().element.remove();
  }

  #matches(line) {
    const direction = this.#find('frame-direction').value;
    const words = this.#find('frame-filter').value.toLowerCase();
    const text = `${line.pane ?? ''} ${line.title ?? ''} ${line.text}`.toLowerCase();
    return (!direction || direction === line.direction) && text.includes(words);
  }

  #filter() {
    for (const { line, element } of this.#lines) element.hidden = !this.#matches(line);
    this.#count();
    this.#toEnd();
  }

  #clear() {
    for (const { element } of this.#lines.splice(0)) element.remove();
    this.#missed = [];
    this.#count();
  }

  #count() {
    const shown = this.#lines.filter(({ element }) => !element.hidden).length;
    const parts = [shown === this.#lines.length ? `${shown}` : `${shown} of ${this.#lines.length}`];
    if (this.#lines.length === KEPT) parts.push('the last');
    if (this.#missed.length > 0) parts.push(`${this.#missed.length} waiting`);
    this.#find('frame-count').textContent = parts.join(', ');
  }

  #toEnd() {
    const list = this.#find('frames');
    list.scrollTop = list.scrollHeight;
  }

  #find(role) {
    return this.#root.querySelector(`[data-role=${role}]`);
  }
}

function pressed(button) {
  const now = button.ariaPressed !== 'true';
  button.ariaPressed = String(now);
  return now;
}

// draw makes a line's element. One that has JSON opens to show it pretty.
function draw(line, open) {
  const element = document.createElement('li');
  element.dataset.direction = line.direction;
  if (line.pane) element.dataset.from = line.pane;
  const summary = document.createElement(line.text ? 'summary' : 'div');
  summary.className = 'line';
  summary.append(
    part('time', clock(line.time)),
    part('from', line.pane ?? ''),
    part('arrow', ARROWS[line.direction], NAMES[line.direction]),
    part('type', line.title ?? typeOf(line.text)),
    part('json'),
  );
  summary.lastChild.append(...coloured(line.text));
  if (!line.text) {
    element.append(summary);
    return element;
  }
  const details = document.createElement('details');
  const pretty = document.createElement('pre');
  pretty.className = 'json';
  pretty.append(...coloured(JSON.stringify(JSON.parse(line.text), null, 2)));
  details.append(summary, pretty);
  details.open = open;
  element.append(details);
  return element;
}

function part(name, text = '', label = '') {
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  if (label) span.title = label;
  return span;
}

function clock(time) {
  return time.toTimeString().slice(0, 8) + '.' + String(time.getMilliseconds()).padStart(3, '0');
}

// typeOf names a frame: its type, and of a change what happened.
function typeOf(text) {
  const { type, event, events = event ? [event] : [] } = JSON.parse(text);
  return [...new Set(events.map((each) => each.type))].join(' ') || type;
}

// coloured gives JSON in parts by what they are.
function coloured(text) {
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g;
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(token)) {
    parts.push(text.slice(end, match.index));
    const [whole, string, colon] = match;
    const name = colon ? 'key' : string ? 'string' : 'value';
    parts.push(part(name, colon ? string : whole), colon ?? '');
    end = match.index + whole.length;
  }
  parts.push(text.slice(end));
  return parts;
}
