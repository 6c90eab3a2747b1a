// The list of messages in a pane, drawn from the steps of its view.

import { Message } from './message.js';
import { beforePaint } from './paint.js';

export class Messages {
  #list;
  #empty;
  #directory;
  #ask;
  #target = ''; // title of the conversation that messages are moved to
  #messages = new Map(); // id -> Message
  #changed = null; // the element of the message that changed last
  #scroll = beforePaint(() => this.#scrollTo(this.#changed));

  // list and empty are the elements for the messages and for what stands there without any. ask: {edit(id, body),
  // move(id), remove(id)}, each a promise that fails when the request does.
  constructor({ list, empty, directory, ask }) {
    this.#list = list;
    this.#empty = empty;
    this.#directory = directory;
    this.#ask = ask;
  }

  // draw takes the steps: with flashes, unless they are the first of a conversation.
  draw(steps, first) {
    for (const { kind, id, row, columns } of steps) {
      if (kind === 'leave') this.#leave(id, first);
      else if (kind === 'stay') this.#stay(this.#messages.get(id), row, columns);
      else this.#enter(id, row, first);
    }
    this.#empty.hidden = this.#messages.size > 0;
    if (first) this.#list.scrollTop = this.#list.scrollHeight;
  }

  // target names the conversation that messages are moved to.
  target(title) {
    this.#target = title;
    for (const message of this.#messages.values()) message.target(title);
  }

  // renew shows the authors' names anew.
  renew() {
    for (const message of this.#messages.values()) message.show(message.row, this.#directory.author(message.row.author_id));
  }

  // enter puts a message in its place, by id: one that was moved here may be older than those that are.
  #enter(id, row, quietly) {
    const message = new Message(row, this.#directory.author(row.author_id), {
      edit: (body) => this.#ask.edit(id, body),
      move: () => this.#ask.move(id),
      remove: () => this.#ask.remove(id),
    });
    message.target(this.#target);
    this.#messages.set(id, message);
    const next = [...this.#messages.values()]
      .filter((other) => other.id > message.id)
      .reduce((least, other) => (least && least.id < other.id ? least : other), null);
    this.#list.insertBefore(message.element, next?.element ?? null);
    if (quietly) return;
    message.flash('enter');
    this.#look(message.element);
  }

  #stay(message, row, columns) {
    message.show(row, this.#directory.author(row.author_id));
    message.flash('stay', columns);
    this.#look(message.element);
  }

  #leave(id, quietly) {
    const message = this.#messages.get(id);
    this.#messages.delete(id);
    if (quietly) message.element.remove();
    else message.leave();
  }

  #look(element) {
    this.#changed = element;
    this.#scroll();
  }

  // scrollTo brings a message into the list's window, and moves nothing but the list.
  #scrollTo(element) {
    if (!element.isConnected) return; // it went meanwhile
    const margin = 12; // pixels
    const top = element.offsetTop - this.#list.offsetTop;
    const bottom = top + element.offsetHeight;
    if (top < this.#list.scrollTop) this.#list.scrollTop = top - margin;
    else if (bottom > this.#list.scrollTop + this.#list.clientHeight) this.#list.scrollTop = bottom - this.#list.clientHeight + margin;
  }
}
