// A subscriber written against the text of WebSub (https://www.w3.org/TR/websub/), and what runs the hub for it.
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '@pushfleet/contract';

/** A request that came to a callback. */
export interface Seen {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

type Answer = (seen: Seen, response: ServerResponse) => void;

/** WebSub, section 5.3.1: the challenge, and nothing else. */
export const confirm: Answer = ({ query }, response) => void response.end(query.get('hub.challenge'));
export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end();

export interface Callback {
  readonly url: string;
  readonly seen: Seen[];
  /** What verifications of intent are answered with. */
  verify: Answer;
  /** What content is answered with. */
  take: Answer;
  readonly verifications: Seen[];
  readonly denials: Seen[];
  readonly contents: Seen[];
}

class CallbackResource implements Callback {
  readonly url: string;
  readonly seen: Seen[] = [];
  verify = confirm;
  take = status(204);

  constructor(url: string) {
    this.url = url;
  }

  get verifications(): Seen[] {
    return this.seen.filter(({ method, query }) => method === 'GET' && query.has('hub.challenge'));
  }

  get denials(): Seen[] {
    return this.seen.filter(({ method, query }) => method === 'GET' && query.get('hub.mode') === 'denied');
  }

  get contents(): Seen[] {
    return this.seen.filter(({ method }) => method === 'POST');
  }
}

/** Links by their relation (RFC 8288), resolved against the URL that was asked. */
function linksOf(header: string | null, base: string): Readonly<Record<string, string>> {
  const links = [...(header ?? '').matchAll(/<([^>]*)>\s*;\s*rel="?([^",;]+)"?/g)];
  return Object.fromEntries(links.map(([, url, rel]) => [rel, new URL(url as string, base).href]));
}

/** Has callbacks, discovers hubs and posts to them. */
export class Subscriber {
  readonly #callbacks = new Map<string, CallbackResource>();
  readonly #server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { method = '', url: target = '', headers } = request;
    const [path = '', query] = target.split('?');
    const callback = this.#callbacks.get(path);
    const seen = { method, target, query: new URLSearchParams(query), headers, body };
    if (callback === undefined) status(404)(seen, response);
    else {
      callback.seen.push(seen);
      if (method === 'POST') callback.take(seen, response);
      else if (seen.query.has('hub.challenge')) callback.verify(seen, response);
      else response.end();
    }
  });

  static async start(): Promise<Subscriber> {
    const subscriber = new Subscriber();
    await once(subscriber.#server.listen(0, '127.0.0.1'), 'listening');
    return subscriber;
  }

  /** A callback of its own, unguessable. @param query what its URL has behind "?" */
  callback(query = ''): Callback {
    const { port } = this.#server.address() as AddressInfo;
    const path = `/callback/${crypto.randomUUID()}`;
    const callback = new CallbackResource(
      `http://127.0.0.1:${port}${path}${query === '' ? '' : `?${query}`}`,
    );
    this.#callbacks.set(path, callback);
    return callback;
  }

  /** WebSub, section 4: hub and topic of a resource, by its Link headers. */
  async discover(url: string): Promise<{ readonly hub: string; readonly topic: string }> {
    const { headers } = await fetch(url, { method: 'HEAD' });
    const { hub = '', self: topic = '' } = linksOf(headers.get('link'), url);
    return { hub, topic };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A publisher outside of the fleet: pages that name their hub, and a word to the hub when there is something new. */
export class Publisher {
  readonly #server = createServer((request, response) => {
    this.asked.push({ path: request.url ?? '', headers: request.headers });
    response.setHeader('link', `<${this.hub}>; rel="hub", <${this.url}${request.url}>; rel="self"`);
    if (request.method === 'HEAD') response.end();
    else this.answer(request.headers, response);
  });
  /** Where its hub is. */
  hub = '';
  url = '';
  readonly asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[] = [];
  /** What a page answers. */
  answer: (headers: IncomingHttpHeaders, response: ServerResponse) => void = (_, response) =>
    response.writeHead(404).end();

  static async start(): Promise<Publisher> {
    const publisher = new Publisher();
    await once(publisher.#server.listen(0, '127.0.0.1'), 'listening');
    publisher.url = `http://127.0.0.1:${(publisher.#server.address() as AddressInfo).port}`;
    return publisher;
  }

  /** Fetches, without questions for the headers alone. */
  fetches(path: string): readonly IncomingHttpHeaders[] {
    return this.asked.filter((one) => one.path === path).map(({ headers }) => headers);
  }

  /** PubSubHubbub 0.4, section 7.1. */
  notify(...paths: string[]): Promise<HubAnswer> {
    const urls = paths.map((path): [string, string] => ['hub.url', this.url + path]);
    return ask(this.hub, [['hub.mode', 'publish'], ...urls]);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export interface HubAnswer {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

/** WebSub, section 5.1. */
export async function ask(
  hub: string,
  form: Record<string, string> | [string, string][],
): Promise<HubAnswer> {
  const answer = await fetch(hub, { method: 'POST', body: new URLSearchParams(form) });
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
}

export const subscribe = (hub: string, topic: string, { url }: Callback, more: Record<string, string> = {}) =>
  ask(hub, { 'hub.mode': 'subscribe', 'hub.topic': topic, 'hub.callback': url, ...more });
export const unsubscribe = (
  hub: string,
  topic: string,
  { url }: Callback,
  more: Record<string, string> = {},
) => ask(hub, { 'hub.mode': 'unsubscribe', 'hub.topic': topic, 'hub.callback': url, ...more });

/** WebSub, section 7.1: over the body as it came. */
export const signature = (method: string, secret: string, body: Buffer): string =>
  `${method}=${createHmac(method, secret).update(body).digest('hex')}`;

/** Waits for what a subscriber hears. */
export const heard = (list: () => readonly unknown[], count: number, what: string): Promise<void> =>
  until(() => list().length >= count, what);

/** One origin in front of several services, by the beginnings of paths. */
export async function openFront(
  routes: Readonly<Record<string, () => string>>,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const [, address] = Object.entries(routes).find(([path]) => request.url?.startsWith(path)) ?? [];
    const [host, port] = address?.().split(':') ?? [];
    const { method, url: path, headers } = request;
    const onward = send({ host, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.once('error', () => response.destroy());
    request.pipe(onward);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
