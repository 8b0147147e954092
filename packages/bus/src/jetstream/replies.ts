import { createInbox, type Msg, type NatsConnection } from '@nats-io/transport-node';

/**
 * One reply inbox for everything asked over a connection: the last token of the reply subject finds whom an
 * answer is for. nats-core's own requests cost a promise, a timer and a map of headers each.
 */
export class Replies {
  readonly #inbox = `${createInbox()}.`;
  readonly #waiting = new Map<string, (message: Msg) => void>();
  #count = 0;

  constructor(connection: NatsConnection) {
    connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#waiting.get(message.subject.slice(this.#inbox.length))?.(message);
      },
    });
  }

  /** A reply subject's last token; answers go to `on` until `close`. */
  open(on: (message: Msg) => void): string {
    const token = (this.#count++).toString(36);
    this.#waiting.set(token, on);
    return token;
  }

  close(token: string): void {
    this.#waiting.delete(token);
  }

  /** The whole reply subject of a token. */
  subject(token: string): string {
    return this.#inbox + token;
  }
}
