import { once } from 'node:events';
import { WebSocket } from 'ws';
import { authorized } from './protocols/http.ts';

/** One who is on a topic, as the list says it. */
export interface Listed {
  readonly subject: string;
  readonly client: string;
  readonly status: string;
  readonly state?: unknown;
}

interface Answer {
  readonly type: string;
  readonly id?: number;
  readonly code?: string;
  readonly detail?: string;
  readonly members?: readonly Listed[];
  readonly total?: number;
  readonly next?: string;
}

/** A client of `pushfleet.v1` that enters topics, and asks who is on them. */
export class MemberClient {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Answer>>();
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      const waiting = answer.id === undefined ? undefined : this.#answers.get(answer.id);
      if (answer.type === 'error') waiting?.reject(new Error(`${answer.code}: ${answer.detail}`));
      else waiting?.resolve(answer);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.#answers.values()) reject(new Error('the connection broke'));
    });
  }

  static async open(address: string, token: string): Promise<MemberClient> {
    const socket = new WebSocket(`ws://${address}/ws`, 'pushfleet.v1', { headers: authorized(token) });
    await once(socket, 'message'); // welcome
    return new MemberClient(socket);
  }

  async #ask(request: object): Promise<Answer> {
    const id = ++this.#id;
    const waiting = Promise.withResolvers<Answer>();
    this.#answers.set(id, waiting);
    this.#socket.send(JSON.stringify({ ...request, type: 'presence', id }));
    try {
      return await waiting.promise;
    } finally {
      this.#answers.delete(id);
    }
  }

  async enter(topic: string, client: string): Promise<void> {
    await this.#ask({ action: 'enter', topic, client, status: 'online', state: { client } });
  }

  /** Everybody who is on the topic, by the name of their client; each once. */
  async list(topic: string): Promise<string[]> {
    const clients: string[] = [];
    for (let next: string | undefined, more = true; more; ) {
      const page = await this.#ask({ action: 'list', topic, limit: 1_000, ...(next && { next }) });
      clients.push(...(page.members ?? []).map(({ client }) => client));
      next = page.next;
      more = next !== undefined;
    }
    return clients.toSorted();
  }

  /** Breaks the connection without a word. */
  cut(): void {
    this.#socket.terminate();
  }
}
