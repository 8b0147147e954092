import { Client } from './client.ts';
import { systemClock } from './clock.ts';
import type { Fleet, TransportName } from './fleet.ts';
import { Ladder } from './ladder.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { post } from './post.ts';
import { Tokens } from './token.ts';
import type { Transport } from './transport.ts';
import { pollTransport } from './transport-poll.ts';
import { sseTransport } from './transport-sse.ts';
import { webSocketTransport } from './transport-websocket.ts';
import { onWake } from './wake.ts';

export interface ConnectOptions {
  /** The origin of the fleet's front, such as `https://push.example.com`. A path in it is put before the fleet's own. */
  readonly url: string | URL;
  /**
   * What is allowed. A function is asked again before the token ends, and once more when it is refused. It never stands
   * in a URL.
   */
  readonly token: string | (() => string | Promise<string>);
  /** Which ways to try, best first: `['websocket', 'sse', 'poll']` where absent. */
  readonly transports?: readonly TransportName[];
  /** Remembers which way worked for the next page, for example `sessionStorage`. */
  readonly storage?: Memory;
  readonly limits?: Partial<Limits>;
  /** In place of the ones of the platform. */
  readonly fetch?: typeof globalThis.fetch;
  readonly WebSocket?: new (url: string, protocols: string[]) => WebSocket;
}

/** What `localStorage` and `sessionStorage` are. */
interface Memory {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** What worked, by address, for as long as the page or the process lives. */
const worked = new Map<string, TransportName>();

const httpMs = 10_000;

/**
 * A client of the fleet at `url`. It connects when there is something to connect for; close it when done.
 *
 * @throws TypeError where the url is none, or no transport is left
 */
export function connect(options: ConnectOptions): Fleet {
  const url = new URL(options.url).href.replace(/[?#].*$/, '').replace(/\/+$/, '');
  const names = options.transports ?? ['websocket', 'sse', 'poll'];
  const socket = options.WebSocket ?? globalThis.WebSocket;
  const http = { url, fetch: options.fetch ?? ((...request) => fetch(...request)) } satisfies {
    fetch: typeof fetch;
    url: string;
  };
  const make: Record<TransportName, () => Transport> = {
    websocket: () => webSocketTransport(url, socket, systemClock),
    sse: () => sseTransport(http, systemClock),
    poll: () => pollTransport(http, systemClock),
  };
  const order = names.filter((name) => name !== 'websocket' || socket !== undefined);
  if (order.length === 0) throw new TypeError('This platform has no WebSocket.');
  return new Client({
    clock: systemClock,
    random: Math.random,
    transports: Object.fromEntries(order.map((name) => [name, make[name]()])),
    ladder: new Ladder(order, recall(url, options.storage), (name) => remember(url, name, options.storage)),
    tokens: new Tokens(options.token, systemClock),
    limits: { ...defaultLimits, ...options.limits },
    post: (draft, token) => post(http, draft, token, AbortSignal.timeout(httpMs)),
    onWake,
  });
}

const keyOf = (url: string): string => `pushfleet ${url}`;

// A storage may be switched off by its user, and throws then: remembering is a convenience.
function recall(url: string, storage: Memory | undefined): TransportName | undefined {
  try {
    return (storage?.getItem(keyOf(url)) as TransportName | null | undefined) ?? worked.get(url);
  } catch {
    return worked.get(url);
  }
}

function remember(url: string, name: TransportName, storage: Memory | undefined): void {
  worked.set(url, name);
  try {
    storage?.setItem(keyOf(url), name);
  } catch {}
}
