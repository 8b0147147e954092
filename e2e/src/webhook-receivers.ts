import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import type { Receipt } from './webhook-check.ts';

/** How a request is answered; `never`: the connection stays open and silent. */
export type Reply =
  | 'never'
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      readonly afterMs?: number;
    };

/** @param nth counts the deliveries to this endpoint, from 1 */
export type Behaviour = (nth: number) => Reply;

const well: Reply = { status: 200 };

/** What endpoints are like. */
export const behaviours = {
  well: () => well,
  slow: (afterMs: number) => () => ({ ...well, afterMs }),
  hangs: () => 'never',
  failsFor: (times: number) => (nth) => (nth > times ? well : { status: 500, body: 'out of order' }),
  /** Asks for a pause of a second at every `every`-th delivery. */
  throttlesEach: (every: number) => (nth) =>
    nth % every === 0 ? { status: 429, headers: { 'retry-after': '1' } } : well,
  goneFrom: (from: number) => (nth) => (nth < from ? well : { status: 410 }),
} satisfies { [name: string]: Behaviour | ((n: number) => Behaviour) };

/** A request with all that its endpoint saw of it. */
export interface Received extends Receipt {
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

interface Endpoint {
  behave: Behaviour;
  secrets: readonly string[];
  count: number;
  /** Ids of deliveries that were answered with a 2xx. */
  readonly accepted: Set<string>;
  gone: boolean;
}

/** Endpoints at paths of one port: each behaves as it is told, verifies as a receiver would, and forgets nothing. */
export class Receivers {
  /** Every delivery, in the order of arrival. */
  readonly received: Received[] = [];
  /** The endpoints that were asked whether they want to be called, each time. */
  readonly handshakes: string[] = [];
  /** Endpoints that answer a handshake with 403. */
  readonly unwilling = new Set<string>();
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      // A worker that dies breaks its requests off.
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#server.keepAliveTimeout = 0;
  }

  /** @param host an address of this machine at which the fleet reaches it */
  static async open(host = '127.0.0.1'): Promise<Receivers> {
    const receivers = new Receivers();
    receivers.#server.listen(0, host);
    await once(receivers.#server, 'listening');
    return receivers;
  }

  /** @returns the endpoint's URL */
  add(endpoint: string, behave: Behaviour): string {
    this.#endpoints.set(endpoint, { behave, secrets: [], count: 0, accepted: new Set(), gone: false });
    return `http://${this.address}/${endpoint}`;
  }

  /** host:port of all endpoints. */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** From here on the endpoint behaves like this. */
  change(endpoint: string, behave: Behaviour): void {
    this.#endpoint(endpoint).behave = behave;
  }

  /** The secrets, in the text form of Standard Webhooks, any of which has to have signed. */
  trust(endpoint: string, ...secrets: readonly string[]): void {
    this.#endpoint(endpoint).secrets = secrets;
  }

  of(endpoint: string): Received[] {
    return this.received.filter((receipt) => receipt.endpoint === endpoint);
  }

  /** How many deliveries all endpoints together have accepted, each once. */
  get accepted(): number {
    return [...this.#endpoints.values()].reduce((sum, { accepted }) => sum + accepted.size, 0);
  }

  /** Whether the endpoint has accepted so many, or wants none any more. */
  satisfied(endpoint: string, count: number): boolean {
    const { accepted, gone } = this.#endpoint(endpoint);
    return gone || accepted.size >= count;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #endpoint(name: string): Endpoint {
    const endpoint = this.#endpoints.get(name);
    if (endpoint === undefined) throw new Error(`there is no endpoint ${name}`);
    return endpoint;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now();
    const name = (request.url ?? '').slice(1);
    const endpoint = this.#endpoint(name);
    const bytes = await buffer(request);
    if (isHandshake(request)) return this.#confirm(name, request, response);
    const body = bytes.toString();
    const receipt = {
      ...{ endpoint: name, at, body, bytes, headers: request.headers },
      id: String(request.headers['webhook-id']),
      signed: endpoint.secrets.some((secret) => verifies(secret, request.headers, body)),
    };
    this.received.push(receipt);
    const reply = endpoint.behave(++endpoint.count);
    if (reply === 'never') return;
    const { status, headers = {}, afterMs = 0 } = reply;
    if (afterMs > 0) await sleep(afterMs);
    if (response.destroyed) return; // nobody waits for the answer any more
    Object.assign(receipt, { status, answeredAt: performance.now() });
    if (status < 300) endpoint.accepted.add(receipt.id);
    if (status === 410) endpoint.gone = true;
    response.writeHead(status, headers).end(reply.body);
  }

  #confirm(name: string, { headers, method }: IncomingMessage, response: ServerResponse): void {
    this.handshakes.push(name);
    if (this.unwilling.has(name)) response.writeHead(403).end();
    else if (method === 'OPTIONS') {
      const origin = String(headers['webhook-request-origin']);
      response.writeHead(200, { 'webhook-allowed-origin': origin, 'webhook-allowed-rate': '*' }).end();
    } else response.writeHead(200, { 'x-hook-secret': String(headers['x-hook-secret']) }).end();
  }
}

const isHandshake = ({ method, headers }: IncomingMessage): boolean =>
  method === 'OPTIONS' || headers['x-hook-secret'] !== undefined;

function verifies(secret: string, headers: IncomingHttpHeaders, body: string): boolean {
  try {
    new Webhook(secret).verify(body, headers as { [name: string]: string }, { jsonParse: false });
    return true;
  } catch {
    return false;
  }
}
