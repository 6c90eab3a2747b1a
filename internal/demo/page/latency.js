// Shows how long the last write of this page took from the click to the frame that shows it. The frame may come before
// the answer to the HTTP request which tells a new message's id.

const REMEMBERED = 100; // ids

export class Latency {
  #shown;
  #started = new Map(); // id -> time of a click whose frame has not come
  #arrived = new Map(); // id -> time of the last frame

  constructor(shown) {
    this.#shown = shown;
  }

  // measure takes a request that has just been made, which gives the id of the row that it writes.
  async measure(request) {
    const clicked = performance.now();
    const id = String(await request);
    const came = this.#arrived.get(id);
    if (came >= clicked) this.#show(came - clicked);
    else remember(this.#started, id, clicked);
  }

  // frame notes that a frame about the row with this id has come.
  frame(id) {
    const now = performance.now();
    const clicked = this.#started.get(id);
    if (clicked !== undefined) {
      this.#started.delete(id);
      this.#show(now - clicked);
    }
    remember(this.#arrived, id, now);
  }

  #show(milliseconds) {
    this.#shown.textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  }
}

// remember keeps the map from growing: it drops the oldest entry.
function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}
