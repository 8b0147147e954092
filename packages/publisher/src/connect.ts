import { type OnRetry, Publisher } from './publisher.ts';
import { parseTarget } from './target.ts';
import type { TokenOption } from './token.ts';
import { GrpcTransport, type TlsOptions } from './transport.ts';

export interface ConnectOptions {
  /**
   * Where the fleet's gRPC publish API is: `https://host[:port]`, `http://host[:port]` without TLS, or
   * `dns:///host:port` for all addresses of a name, such as a headless Service. Several are used in turn.
   */
  readonly url: string | readonly string[];
  /** What publishing is allowed by; a function is asked again before the token expires, and when it is refused. */
  readonly token: TokenOption;
  /** Who publishes, as a CloudEvents source. Absent: the subject of the token. */
  readonly source?: string;
  /** `true` by default for `dns:///`; certificates as PEM texts where the machine's own are not to be used. */
  readonly tls?: boolean | TlsOptions;
  readonly limits?: Partial<Limits>;
  /**
   * Hears of each call that failed and is tried again, for a log: until `limits.patienceMs` are over nothing else tells
   * of a fleet that is away or a wrong address. At one address that nobody answers it hears every two seconds or more
   * often. It must not throw; a throw becomes an unhandled rejection.
   */
  readonly onRetry?: OnRetry;
}

/** What can be tuned; the defaults are those of `defaultLimits`. */
export interface Limits {
  /** Most publications accepted and not acknowledged, and their most bytes. */
  readonly pendingCount: number;
  readonly pendingBytes: number;
  /** Most publications of one call, at most 1,000, and their most bytes. */
  readonly batchCount: number;
  readonly batchBytes: number;
  /** Most calls at once. */
  readonly calls: number;
  /** How long a publication waits for company while another call is under way, in milliseconds. */
  readonly lingerMs: number;
  /** How long one call may take, in milliseconds. */
  readonly callMs: number;
  /**
   * How long a publication is tried, in milliseconds. It must stay below half the log's duplicate window
   * (PUSHFLEET_STREAM_DUPLICATE_WINDOW, 2 minutes by default): the fleet may go on with an attempt of ours for nearly
   * another half, and past the window it would store the publication a second time.
   */
  readonly patienceMs: number;
  /** After about so long a connection is replaced, in milliseconds. */
  readonly connectionAgeMs: number;
}

export const defaultLimits: Limits = {
  pendingCount: 100_000,
  pendingBytes: 67_108_864,
  batchCount: 500,
  batchBytes: 1_048_576,
  calls: 4,
  lingerMs: 5,
  callMs: 10_000,
  patienceMs: 50_000,
  connectionAgeMs: 300_000,
};

/** What the fleet takes in one call. */
const fleetBatchCount = 1_000;

/**
 * A publisher for the fleet at `url`. It connects by itself, and stays with no instance for long; close it when done.
 *
 * @throws TypeError where an option makes no sense
 */
export function connect(options: ConnectOptions): Publisher {
  const { url, token, source = '', tls, limits: given, onRetry = () => {} } = options;
  const limits = { ...defaultLimits, ...given };
  check(limits);
  const urls = typeof url === 'string' ? [url] : url;
  if (urls.length === 0) throw new TypeError('No url is given.');
  // Also undefined, out of an environment, where nothing checks types.
  if (!token) {
    throw new TypeError(
      'The token is empty; give one that the fleet accepts, or a function that resolves with one.',
    );
  }
  const targets = urls.map((one) => parseTarget(one, typeof tls === 'object' ? true : tls));
  const { callMs, connectionAgeMs } = limits;
  const transport = new GrpcTransport({
    ...{ targets, token, callMs, connectionAgeMs },
    tls: typeof tls === 'object' ? tls : {},
  });
  const outbox = { ...limits, count: limits.pendingCount, bytes: limits.pendingBytes, batches: limits.calls };
  return new Publisher(outbox, transport, source, onRetry);
}

function check(limits: Limits): void {
  for (const [name, value] of Object.entries(limits)) {
    if (Number.isFinite(value) && value >= (name === 'lingerMs' ? 0 : 1)) continue;
    throw new TypeError(`limits.${name} is ${value}; it is a number above 0.`);
  }
  if (limits.batchCount <= fleetBatchCount) return;
  throw new TypeError(
    `limits.batchCount is ${limits.batchCount}; the fleet takes ${fleetBatchCount} at the most.`,
  );
}
