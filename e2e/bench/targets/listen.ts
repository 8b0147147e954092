import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A server of a child process that is published to by POST, the payload as the body. It tells the benchmark its
 * port, and ends with it.
 *
 * @param publish is given the path and the body
 * @param get answers everything else
 */
export function listen(
  publish: (path: string, payload: string) => void,
  get: (request: IncomingMessage, response: ServerResponse) => void = (_, response) =>
    response.writeHead(404).end(),
): Server {
  const server = createServer((request, response) => {
    if (request.method !== 'POST') return get(request, response);
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      publish(request.url as string, body);
      response.writeHead(204).end();
    });
  });
  server.keepAliveTimeout = 0; // the publisher's connection stays through quiet minutes
  server.listen(0, '127.0.0.1', 4096, () => process.send?.((server.address() as AddressInfo).port));
  process.on('disconnect', () => process.exit());
  return server;
}

/** Who listens to what. */
export class Listeners<T> {
  readonly #byPath = new Map<string, Set<T>>();

  add(path: string, listener: T): void {
    const set = this.#byPath.get(path) ?? new Set();
    this.#byPath.set(path, set.add(listener));
  }

  remove(path: string, listener: T): void {
    this.#byPath.get(path)?.delete(listener);
  }

  of(path: string): Iterable<T> {
    return this.#byPath.get(path) ?? [];
  }
}
