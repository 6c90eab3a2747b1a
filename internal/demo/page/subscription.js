// A pane's subscription: the messages of one conversation at a time, over a WebSocket of its own.

import { Socket } from './socket.js';
import { View } from './view.js';

const CHANNEL = 'message';
const SCOPE = 'conversation_id';
const RETRY = 2000; // milliseconds until a list or a subscription that failed is asked for again

export class Subscription {
  #api;
  #log;
  #on;
  #socket;
  #view = new View();
  #conversation = null; // its id
  #fresh = true; // no list of this conversation has come yet

  // on: {steps(steps, first), trouble(text), state(name, detail)}. first says that the steps are the first list of a
  // conversation, so that there is nothing new in them. log receives lines for the strip of frames.
  constructor({ api, log, on }) {
    this.#api = api;
    this.#log = log;
    this.#on = on;
    this.#socket = new Socket({
      opened: () => this.#send('subscribe'),
      frame: (frame, text) => {
        log({ direction: 'in', text });
        this.#receive(frame);
      },
      sent: (text) => log({ direction: 'out', text }),
      state: (name, detail) => this.#state(name, detail),
    });
  }

  open() {
    this.#socket.open();
  }

  // follow changes over to another conversation.
  follow(conversation) {
    if (this.#conversation !== null) this.#send('unsubscribe');
    this.#conversation = conversation;
    this.#fresh = true;
    this.#on.steps(this.#view.clear(), true);
    this.#send('subscribe');
  }

  #send(type) {
    this.#socket.send({ type, channel: CHANNEL, scope: { col: SCOPE, value: this.#conversation } });
  }

  #receive(frame) {
    if (frame.type === 'error') {
      this.#on.trouble(`The gateway answers: ${frame.code}`);
      if (frame.code === 'snapshot_unavailable') setTimeout(() => this.#send('subscribe'), RETRY);
      return;
    }
    // Frames of a subscription that was given up may still come.
    const { channel, scope } = frame;
    if (channel !== CHANNEL || scope.col !== SCOPE || String(scope.value) !== String(this.#conversation)) return;
    if (frame.type === 'subscribed') this.#list(this.#view.begin());
    if (frame.type === 'snapshot') this.#fill(this.#view.snapshot(frame.rows));
    if (frame.type === 'change') {
      const steps = (frame.events ?? [frame.event]).flatMap((event) => this.#view.apply(event));
      if (steps.length > 0) this.#on.steps(steps, false);
    }
  }

  // list reads the conversation over HTTP, for a gateway that sends no snapshot.
  async #list(ticket) {
    try {
      const rows = await this.#api.messages(this.#conversation);
      if (this.#view.awaits(ticket)) this.#fill(this.#view.listed(rows));
    } catch (failure) {
      if (!this.#view.awaits(ticket)) return;
      this.#on.trouble(failure.message);
      setTimeout(() => this.#view.awaits(ticket) && this.#list(ticket), RETRY);
    }
  }

  #fill(steps) {
    const first = this.#fresh;
    this.#fresh = false;
    this.#on.steps(steps, first);
  }

  #state(name, detail) {
    this.#on.state(name, detail);
    if (name !== 'connecting') {
      this.#log({ direction: 'note', title: name === 'live' ? 'connected' : `closed ${detail}`, text: '' });
    }
  }
}
