// A front of TCP for tests: hands connections to one instance, and breaks them as networks do.

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Scope } from '@pushfleet/edge/testing';

export class Front {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #target: number;
  /** Says whether an answer is to be thrown away, with its connection. */
  swallows: (bytes: string) => boolean = () => false;
  /** Answers thrown away. */
  swallowed = 0;

  constructor(scope: Scope, target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
    scope.after(async () => {
      this.cut();
      await new Promise((resolve) => this.#server.close(resolve));
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/bayeux`;
  }

  /** New connections go there. */
  turnTo(port: number): void {
    this.#target = port;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair) other.destroy();
      });
    }
    client.on('data', (bytes) => server.write(bytes));
    server.on('data', (bytes) => {
      if (this.swallows(bytes.toString())) {
        this.swallowed++;
        // The server sees an orderly end: the front has taken its answer.
        client.destroy();
        server.end();
      } else client.write(bytes);
    });
  }
}
