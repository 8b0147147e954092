import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A NOTIFY, as its receiver saw it. */
export interface Notified {
  readonly sid: string;
  readonly seq: string;
  /** Of the publication. */
  readonly id: string;
  /** Of the delivery. */
  readonly delivery: string;
  readonly body: string;
}

/**
 * How it takes a first notification. `echoes`: it sends X-Hook-Secret back. `knows`: it takes what is of a SID that it was
 * told, as UPnP asks of control points, and nothing else. `anything`: it takes everything.
 */
export type Manner = 'echoes' | 'knows' | 'anything';

/** A receiver of notifications on a free port of this machine. */
export class NotifiedReceiver {
  /** The notifications that carried a publication and were taken, in the order of their arrival. */
  readonly taken: Notified[] = [];
  /** Those that carried none. */
  readonly first: Notified[] = [];
  readonly sids = new Set<string>();
  readonly #server: Server;

  private constructor(manner: Manner) {
    this.#server = createServer(async (request, response) => {
      const body = await text(request);
      const { sid, seq, 'ce-id': id, 'webhook-id': delivery, 'x-hook-secret': secret } = request.headers;
      const notified = {
        ...{ sid: String(sid), seq: String(seq), id: String(id), delivery: String(delivery), body },
      };
      if (manner === 'knows' && !this.sids.has(notified.sid)) {
        response.writeHead(412).end();
        return;
      }
      (seq === '0' ? this.first : this.taken).push(notified);
      const echo = manner === 'echoes' && secret !== undefined;
      response.writeHead(200, echo ? { 'x-hook-secret': String(secret) } : {}).end();
    });
  }

  static async open(manner: Manner): Promise<NotifiedReceiver> {
    const receiver = new NotifiedReceiver(manner);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
