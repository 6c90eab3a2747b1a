// One message in a pane: its row as an element, its buttons, its editor, and the flashes when a frame changes it. A
// button only asks; what it asked for shows when the frame comes, and until then the message is marked as pending.

const template = document.getElementById('message');

export class Message {
  element;
  row;
  #ask;

  // author is {name, hue}. ask: {edit(body), move(), remove()}, each a promise that fails when the request does.
  constructor(row, author, ask) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#ask = ask;
    this.#find('[data-role=edit]').onclick = () => this.#edit();
    this.#find('[data-role=move]').onclick = () => this.#pending(ask.move());
    this.#find('[data-role=delete]').onclick = () => this.#pending(ask.remove());
    this.#find('[data-role=cancel]').onclick = () => this.#close();
    this.#find('.editor').onsubmit = (event) => this.#save(event);
    this.#find('[data-role=edit-text]').onkeydown = (event) => this.#key(event);
    this.element.dataset.messageId = row.id;
    this.show(row, author);
  }

  get id() {
    return Number(this.row.id);
  }

  // show shows the row as it is now.
  show(row, { name, hue }) {
    this.row = row;
    this.element.classList.remove('pending');
    this.element.style.setProperty('--hue', hue);
    this.#find('.avatar').textContent = initials(name);
    this.#find('.author').textContent = name;
    this.#find('.body').textContent = row.body;
    const written = new Date(row.created_at);
    const time = this.#find('time');
    time.dateTime = row.created_at;
    time.textContent = shortly(written);
    time.title = written.toLocaleString();
    const edited = this.#find('.edited');
    edited.hidden = !row.edited_at;
    edited.title = row.edited_at ? new Date(row.edited_at).toLocaleString() : '';
    for (const [role, verb] of [['edit', 'Edit'], ['delete', 'Delete']]) {
      this.#find(`[data-role=${role}]`).ariaLabel = `${verb} ${name}’s message “${row.body.slice(0, 40)}”`;
    }
  }

  // target names where the button moves the message to; no name hides it.
  target(title) {
    const move = this.#find('[data-role=move]');
    move.hidden = !title;
    move.title = move.ariaLabel = `Move to ${title}`;
  }

  // flash shows that a frame has just changed the message: all of it, or the columns named.
  flash(kind, columns = []) {
    restart(this.element, kind);
    for (const column of columns) {
      const part = this.#find(`[data-column="${CSS.escape(column)}"]`);
      if (part) restart(part, 'changed');
    }
    const chip = this.#find('.chip');
    chip.hidden = columns.length === 0;
    chip.textContent = `changed ${columns.join(', ')}`;
    if (columns.length > 0) restart(chip, 'shown');
  }

  // leave takes the message off the page. To whoever looks for it, it is gone at once; to the eye, after a moment.
  async leave() {
    delete this.element.dataset.messageId;
    this.element.inert = true;
    this.element.classList.remove('pending');
    this.element.style.setProperty('--height', `${this.element.offsetHeight}px`);
    restart(this.element, 'leave');
    await Promise.allSettled(this.element.getAnimations().map((animation) => animation.finished));
    this.element.remove();
  }

  #edit() {
    const text = this.#find('[data-role=edit-text]');
    text.value = this.row.body;
    this.element.classList.add('editing');
    this.#find('.editor').hidden = false;
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }

  #close() {
    this.element.classList.remove('editing');
    this.#find('.editor').hidden = true;
    this.element.focus(); // not the button: the Enter that saves would press it
  }

  #save(event) {
    event.preventDefault();
    const body = this.#find('[data-role=edit-text]').value.trim();
    this.#close();
    if (body && body !== this.row.body) this.#pending(this.#ask.edit(body));
  }

  #key(event) {
    if (event.key === 'Escape') this.#close();
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#find('.editor').requestSubmit();
    }
  }

  // pending marks the message until its frame comes (see show and leave) or the request fails. The frame may well come
  // before the request's answer.
  #pending(request) {
    this.element.classList.add('pending');
    request.catch(() => this.element.classList.remove('pending'));
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

// initials gives the letters for an avatar.
export function initials(name) {
  return name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? '').join('').toUpperCase();
}

const ANIMATIONS = ['enter', 'stay', 'leave', 'changed', 'shown'];

// restart plays the animation of a class from its beginning, even if it is just playing.
function restart(element, name) {
  if (ANIMATIONS.some((each) => element.classList.contains(each))) {
    element.classList.remove(...ANIMATIONS);
    element.getAnimations(); // makes the browser see that the class was gone, and lays nothing out
  }
  element.classList.add(name);
}

function shortly(time) {
  const today = new Date().toDateString() === time.toDateString();
  return today
    ? time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : time.toLocaleDateString([], { day: 'numeric', month: 'short' });
}
