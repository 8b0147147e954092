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
 * told, as UPnP asks of control points, and nothing else. `anything`: it takes everything. `late`: as `echoes`, once
 * `answer` is called.
 */
export type Manner = 'echoes' | 'knows' | 'anything' | 'late';

/** A receiver of notifications on a free port of this machine. */
export class NotifiedReceiver {
  /** The notifications that carried a publication and were taken, in the order of their arrival. */
  readonly taken: Notified[] = [];
  /** Those that carried none. */
  readonly first: Notified[] = [];
  readonly sids = new Set<string>();
  /** What the next notifications that carry a publication are answered; 200 behind those. */
  readonly statuses: number[] = [];
  readonly #waiting = Promise.withResolvers<void>();
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
      const status = seq === '0' ? 200 : (this.statuses.shift() ?? 200);
      if (status !== 200) {
        response.writeHead(status).end();
        return;
      }
      (seq === '0' ? this.first : this.taken).push(notified);
      if (manner === 'late') await this.#waiting.promise;
      const echo = (manner === 'echoes' || manner === 'late') && secret !== undefined;
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

  answer(): void {
    this.#waiting.resolve();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
