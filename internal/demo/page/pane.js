// A pane: one conversation at a time with its members, its live messages, and the box to write in.

import { initials } from './message.js';
import { Messages } from './messages.js';
import { Subscription } from './subscription.js';

const STATES = { connecting: 'connecting', live: 'live', waiting: 'reconnecting', refused: 'refused' };
const ALERT = 8000; // milliseconds that an alert stays

const template = document.getElementById('pane');

export class Pane {
  side;
  conversation; // its id
  #root;
  #directory;
  #api;
  #latency;
  #messages;
  #subscription;
  #target; // the id of the conversation that messages are moved to
  #alertTimer = 0;

  // side is left or right, root the element to fill. picked is called when another conversation was picked, log with
  // lines for the strip of frames.
  constructor({ root, side, directory, api, latency, log, picked }) {
    Object.assign(this, { side });
    this.#root = root;
    this.#directory = directory;
    this.#api = api;
    this.#latency = latency;
    root.append(template.content.cloneNode(true));
    this.#messages = new Messages({
      list: this.#find('[data-role=messages]'),
      empty: this.#find('.empty'),
      directory,
      ask: {
        edit: (id, body) => this.#ask(id, api.edit(id, body)),
        move: (id) => this.#ask(id, api.move(id, this.#target)),
        remove: (id) => this.#ask(id, api.remove(id)),
      },
    });
    this.#subscription = new Subscription({
      api,
      log: (line) => log({ pane: side, ...line }),
      on: {
        steps: (steps, first) => this.#draw(steps, first),
        trouble: (text) => this.#alert(text),
        state: (name, detail) => this.#state(name, detail),
      },
    });
    this.#find('[data-role=conversation]').onchange = (event) => {
      this.show(event.target.value);
      picked();
    };
    this.#find('[data-role=compose]').onkeydown = (event) => this.#key(event);
    this.#find('.compose').onsubmit = (event) => this.#write(event);
    directory.addEventListener('change', () => this.#renew());
  }

  open() {
    this.#subscription.open();
  }

  // show changes over to the conversation with this id; to the first one if there is none.
  show(id) {
    const conversation = this.#directory.conversation(id) ?? this.#directory.conversations[0];
    this.conversation = conversation.id;
    this.#introduce(conversation);
    this.#subscription.follow(conversation.id);
    this.#find('.empty').hidden = true; // nobody knows yet
  }

  // faces tells what the other pane shows. Messages are moved there, or to the next conversation if it shows the same.
  faces(other) {
    const same = other === this.conversation;
    const target = same ? this.#directory.after(other) : this.#directory.conversation(other);
    this.#target = target.id;
    this.#messages.target(target.id === this.conversation ? '' : target.title);
  }

  #draw(steps, first) {
    this.#messages.draw(steps, first);
    for (const { id } of steps) this.#latency.frame(id);
  }

  // ask watches a request about a message, and shows when it fails.
  async #ask(id, request) {
    try {
      await this.#latency.measure(request.then(() => id));
    } catch (failure) {
      this.#alert(failure.message);
      throw failure;
    }
  }

  async #write(event) {
    event.preventDefault();
    const text = this.#find('[data-role=compose]');
    const send = this.#find('[data-role=send]');
    const body = text.value.trim();
    if (!body || send.disabled) return;
    send.disabled = true;
    try {
      const author = Number(this.#find('[data-role=author]').value);
      await this.#latency.measure(this.#api.write({ conversation_id: this.conversation, author_id: author, body }));
      text.value = '';
    } catch (failure) {
      this.#alert(failure.message);
    } finally {
      send.disabled = false;
    }
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#find('.compose').requestSubmit();
    }
  }

  // introduce shows a conversation's name and members.
  #introduce({ id, about, members }) {
    const options = this.#directory.conversations.map((each) => new Option(each.title, each.id, false, each.id === id));
    this.#find('[data-role=conversation]').replaceChildren(...options);
    this.#find('.about').textContent = about;
    this.#find('.members').replaceChildren(...members.map(({ name }) => {
      const face = document.createElement('li');
      face.className = 'avatar';
      face.title = face.ariaLabel = name;
      face.textContent = initials(name);
      face.style.setProperty('--hue', this.#directory.hue(name));
      return face;
    }));
    // Two panes of one conversation start with two authors.
    const favourite = members[this.side === 'left' ? 0 : 1 % members.length];
    const authors = members.map((each) => new Option(each.name, each.id, false, each === favourite));
    this.#find('[data-role=author]').replaceChildren(...authors);
  }

  // renew shows a directory that was read again.
  #renew() {
    const conversation = this.#directory.conversation(this.conversation);
    if (!conversation) return;
    const author = this.#find('[data-role=author]').value;
    this.#introduce(conversation);
    this.#find('[data-role=author]').value = author;
    this.#messages.renew();
  }

  #state(name, detail) {
    const status = this.#find('[data-role=status]');
    status.dataset.state = name;
    status.textContent = STATES[name];
    status.title = detail ? `The connection closed: ${detail}` : '';
  }

  #alert(text) {
    const alert = this.#find('[data-role=alert]');
    alert.textContent = text;
    alert.hidden = false;
    clearTimeout(this.#alertTimer);
    this.#alertTimer = setTimeout(() => { alert.hidden = true; }, ALERT);
  }

  #find(selector) {
    return this.#root.querySelector(selector);
  }
}
