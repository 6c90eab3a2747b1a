// Puts the page together: two panes, the strip of frames, and what they share.

import { Api } from './api.js';
import { Directory } from './directory.js';
import { Frames } from './frames.js';
import { Latency } from './latency.js';
import { Pane } from './pane.js';

const RETRY = 2000; // milliseconds until a server that does not answer is asked again

const frames = new Frames(document.querySelector('.frames'));
const log = (line) => frames.add(line);
const latency = new Latency(document.querySelector('[data-role=latency]'));
const api = new Api(log);
const directory = new Directory(api);
const panes = ['left', 'right'].map((side) => new Pane({
  root: document.querySelector(`[data-pane=${side}]`), side, directory, api, latency, log, picked,
}));

await loaded();
const asked = new URLSearchParams(location.hash.slice(1));
panes.forEach((pane, i) => {
  pane.show(asked.get(pane.side) ?? directory.conversations[i % directory.conversations.length].id);
  pane.open();
});
meet();

// loaded reads the directory, however long the server takes to come up.
async function loaded() {
  for (;;) {
    try {
      await directory.load();
      if (directory.conversations.length > 0) return;
    } catch { /* the strip of frames has shown it */ }
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

// picked keeps the choice of conversations in the address, so that a reload and a second window have it too.
function picked() {
  history.replaceState(null, '', '#' + new URLSearchParams(panes.map((pane) => [pane.side, pane.conversation])));
  meet();
}

// meet tells each pane what the other one shows: that is where its messages are moved to.
function meet() {
  const [left, right] = panes;
  left.faces(right.conversation);
  right.faces(left.conversation);
}
