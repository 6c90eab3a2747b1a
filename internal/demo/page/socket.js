// A WebSocket that comes back: after a random part of a growing delay, so that a thousand pages do not come back at
// once, and at once when the machine is online again.

const FIRST_DELAY = 500; // milliseconds
const LONGEST_DELAY = 15_000;
const UNAUTHORIZED = 4401;
const OVER_A_LIMIT = 4429;

export class Socket {
  #on;
  #socket = null;
  #failures = 0;
  #timer = 0;

  // on: {opened(), frame(message, text), sent(text), state(name, detail)}, where the names of states are connecting,
  // live, waiting (for the next attempt) and refused (there will be none).
  constructor(on) {
    this.#on = on;
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.#hurry());
  }

  open() {
    this.#on.state('connecting');
    const url = new URL('ws', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      this.#on.state('live');
      this.#on.opened();
    };
    socket.onmessage = ({ data }) => this.#on.frame(JSON.parse(data), data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  // send sends nothing while there is no connection: what is to be said is said again in opened.
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const text = JSON.stringify(message);
    this.#socket.send(text);
    this.#on.sent(text);
  }

  #closed(code, reason) {
    this.#socket = null;
    const detail = reason ? `${code} ${reason}` : String(code);
    if (code === UNAUTHORIZED) {
      this.#on.state('refused', detail);
      return;
    }
    this.#failures += code === OVER_A_LIMIT ? 3 : 1;
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (this.#failures - 1));
    this.#on.state('waiting', detail);
    this.#timer = setTimeout(() => this.#retry(), ceiling * (0.3 + 0.7 * Math.random()));
  }

  #retry() {
    this.#timer = 0;
    this.open();
  }

  #hurry() {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#retry();
  }
}
