// The demo's HTTP interface. Writes go this way and are answered without the row: that comes as a frame.

export class Api {
  #log;

  // log receives a line for the strip of frames for each request that writes, and for each that fails.
  constructor(log) {
    this.#log = log;
  }

  conversations() {
    return this.#request('GET', 'api/conversations');
  }

  messages(conversation) {
    return this.#request('GET', `api/conversations/${conversation}/messages`);
  }

  // write gives the id of the new message.
  async write(message) {
    return (await this.#request('POST', 'api/messages', message)).id;
  }

  edit(id, body) {
    return this.#request('PATCH', `api/messages/${id}`, { body });
  }

  move(id, conversation) {
    return this.#request('PATCH', `api/messages/${id}`, { conversation_id: conversation });
  }

  remove(id) {
    return this.#request('DELETE', `api/messages/${id}`);
  }

  async #request(method, path, body) {
    let status = 'no answer';
    try {
      const response = await fetch(path, {
        method,
        headers: { 'Content-Type': 'application/json' },
        body: body && JSON.stringify(body),
      });
      status = response.status;
      const answer = status === 204 ? null : await response.json().catch(() => ({ error: `The server answers ${status}.` }));
      if (!response.ok) throw new Error(answer.error);
      return answer;
    } catch (failure) {
      if (status === 'no answer') throw new Error('The demo’s server does not answer.', { cause: failure });
      throw failure;
    } finally {
      if (method !== 'GET' || !(status < 400)) {
        this.#log({ direction: 'http', title: `${method} /${path} ${status}`, text: body ? JSON.stringify(body) : '' });
      }
    }
  }
}
