// The rows of one subscription, kept true by its frames. It knows neither the network nor the document.
//
// Every change of it is a list of steps, {kind: enter | stay | leave, id, row, columns}: a row that came, that changed
// (and in which columns), or that went.
//
// Where the server sends no snapshot, the first list is read over HTTP, and its answer may be older than frames that
// came while it was under way. Those are held, and laid over the list when it is there: what the frames say wins, and
// a row they deleted does not come back.

export class View {
  #rows = new Map(); // id -> row
  #held = null; // the events since begin, while a list is awaited
  #ticket = 0;

  // begin is for `subscribed`: a list is to be read from now on. It gives the ticket to ask awaits with.
  begin() {
    this.#held = [];
    return ++this.#ticket;
  }

  // awaits tells whether the list of this ticket is still wanted. It is not once a snapshot, another begin or a clear
  // has overtaken it.
  awaits(ticket) {
    return this.#held !== null && ticket === this.#ticket;
  }

  // listed takes the list that is awaited.
  listed(rows) {
    const next = byId(rows);
    for (const event of this.#held) lay(next, event);
    return this.#become(next);
  }

  // snapshot takes the rows of a snapshot, which are exact: no list is awaited any more.
  snapshot(rows) {
    return this.#become(byId(rows));
  }

  // clear drops all rows: they are another conversation's from here on.
  clear() {
    return this.#become(new Map());
  }

  // apply takes an event of a change.
  apply(event) {
    if (this.#held === null) return lay(this.#rows, event);
    this.#held.push(event);
    return [];
  }

  #become(next) {
    const steps = [];
    for (const [id, row] of this.#rows) {
      if (!next.has(id)) steps.push({ kind: 'leave', id, row, columns: [] });
    }
    for (const [id, row] of next) {
      const old = this.#rows.get(id);
      const columns = old ? different(old, row) : [];
      if (!old) steps.push({ kind: 'enter', id, row, columns });
      else if (columns.length > 0) steps.push({ kind: 'stay', id, row, columns });
    }
    this.#rows = next;
    this.#held = null;
    return steps;
  }
}

// lay lays an event over rows.
function lay(rows, event) {
  const id = String(event.primaryKey?.id ?? event.row.id);
  const old = rows.get(id);
  if (event.type === 'afterDelete') {
    rows.delete(id);
    return old ? [{ kind: 'leave', id, row: old, columns: [] }] : [];
  }
  const row = { ...old, ...event.row }; // a column that is absent is not null, but as it was
  rows.set(id, row);
  return [{ kind: old ? 'stay' : 'enter', id, row, columns: old ? Object.keys(event.changed ?? {}) : [] }];
}

function byId(rows) {
  return new Map(rows.map((row) => [String(row.id), row]));
}

// different names the columns in which two rows differ. A bigint may come as a number or as a string.
function different(a, b) {
  return Object.keys(b).filter((column) => String(a[column]) !== String(b[column]));
}
