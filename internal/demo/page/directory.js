// The conversations and their members, which both panes show. They are read over HTTP and read again when a message has
// an author whom nobody knows: somebody may have added one in psql.

export class Directory extends EventTarget {
  conversations = [];
  #api;
  #unknown = new Set(); // ids that were looked for in vain

  constructor(api) {
    super();
    this.#api = api;
  }

  // load reads the conversations, and says so with the event `change`.
  async load() {
    this.conversations = await this.#api.conversations();
    this.dispatchEvent(new Event('change'));
  }

  conversation(id) {
    return this.conversations.find((conversation) => String(conversation.id) === String(id));
  }

  // after gives the conversation that follows the one with this id in the list, and the first one after the last.
  after(id) {
    const next = this.conversations.indexOf(this.conversation(id)) + 1;
    return this.conversations[next % this.conversations.length];
  }

  // author gives the name and the colour, as a hue in degrees, of a member of any conversation: a message that was moved
  // has its author in another one.
  author(id) {
    for (const { members } of this.conversations) {
      const member = members.find((each) => String(each.id) === String(id));
      if (member) return { name: member.name, hue: this.hue(member.name) };
    }
    if (!this.#unknown.has(String(id))) {
      this.#unknown.add(String(id));
      this.load().catch(() => {}); // a name, and the strip of frames shows what went wrong
    }
    return { name: `member ${id}`, hue: 0 };
  }

  // hue gives every name a colour of its own. The same person has it in every conversation.
  hue(name) {
    const names = new Set(this.conversations.flatMap(({ members }) => members.map((member) => member.name)));
    return Math.round([...names].indexOf(name) * 137.508 + 215) % 360; // the golden angle keeps neighbours apart
  }
}
