// What this package's tests share; nothing else imports it.
import { startEdge as startLongpoll } from '../../../services/edge-longpoll/src/testing.ts';
import { startEdge as startSse } from '../../../services/edge-sse/src/testing.ts';
import { startEdge as startWebsocket, token } from '../../../services/edge-websocket/src/testing.ts';
import { type ConnectOptions, connect } from './connect.ts';
import type { Fleet, TransportName } from './fleet.ts';

export { until } from '@pushfleet/contract';
export { token };

interface Scope {
  after(stop: () => Promise<void>): void;
}

const paths: Readonly<Record<TransportName, string>> = { websocket: '/ws', sse: '/sse', poll: '/poll' };

/** What becomes of a request: it passes, is refused by a proxy, is never answered, or its answer is held back. */
export type Weather = 'passes' | 'refused' | 'hangs' | 'held back';

/** Real edges on one log in memory, and the network before them, which a test may disturb. */
export class Ground {
  static #count = 0;
  readonly weather: Record<TransportName, Weather> = { websocket: 'passes', sse: 'passes', poll: 'passes' };
  /** Connections that each way was asked for. */
  readonly asked: Record<TransportName, number> = { websocket: 0, sse: 0, poll: 0 };
  readonly urls: string[] = [];
  readonly #open = new Set<() => void>();
  readonly #scope: Scope;
  edges!: Awaited<ReturnType<typeof startEdges>>;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  static async start(scope: Scope, env: Record<string, string> = {}): Promise<Ground> {
    const ground = new Ground(scope);
    ground.edges = await startEdges(scope, env);
    return ground;
  }

  connect(options: Partial<ConnectOptions> = {}): Fleet {
    const fleet = connect({
      // Of its own, since what worked at an address is remembered.
      url: `http://fleet-${Ground.#count++}.test`,
      token: token(),
      fetch: (input, init) => this.#fetch(String(input), init),
      WebSocket: this.#sockets(),
      ...options,
      limits: { openMs: 1_000, ...options.limits },
    });
    this.#scope.after(() => fleet.close());
    return fleet;
  }

  publish(topic: string, payload: string | Buffer, o: object = {}) {
    return this.edges.websocket.publish(topic, payload, o);
  }

  /** Cuts every connection. @returns how many there were */
  cut(): number {
    const open = [...this.#open];
    this.#open.clear();
    for (const cut of open) cut();
    return open.length;
  }

  async #fetch(input: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(input);
    this.urls.push(input);
    const name = url.pathname === paths.sse ? 'sse' : 'poll';
    this.asked[name]++;
    const network = new AbortController();
    const cut = () => network.abort(new TypeError('the network was cut'));
    this.#open.add(cut);
    const signal = AbortSignal.any([network.signal, ...(init.signal ? [init.signal] : [])]);
    signal.addEventListener('abort', () => this.#open.delete(cut));
    if (this.weather[name] === 'refused') return new Response('no', { status: 403 });
    if (this.weather[name] === 'hangs') return never(signal);
    url.host = `127.0.0.1:${this.edges[name].port}`;
    const answer = await fetch(url, { ...init, signal });
    if (this.weather[name] !== 'held back') return answer;
    const { status, headers } = answer;
    return new Response(new ReadableStream({ start: () => {} }), { status, headers });
  }

  #sockets(): NonNullable<ConnectOptions['WebSocket']> {
    const ground = this;
    return class extends WebSocket {
      constructor(_url: string | URL, protocols?: string | string[]) {
        ground.asked.websocket++;
        const passes = ground.weather.websocket === 'passes';
        // Where it does not pass: a path that knows no upgrades answers with 404.
        super(`ws://127.0.0.1:${ground.edges.websocket.port}${passes ? '/ws' : '/nowhere'}`, protocols);
        const cut = () => this.close();
        ground.#open.add(cut);
        this.addEventListener('close', () => ground.#open.delete(cut));
      }
    };
  }
}

async function startEdges(scope: Scope, env: Record<string, string>) {
  const websocket = await startWebsocket(scope, env);
  const { backbone, registry } = websocket;
  const shared = { backbone, registry };
  return {
    websocket,
    sse: await startSse(scope, env, shared),
    poll: await startLongpoll(scope, env, shared),
  };
}

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
