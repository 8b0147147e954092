import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { PushfleetError } from '@pushfleet/core';
import type { Log, Metrics, Part } from '@pushfleet/runtime';
import {
  CallError,
  type Caller,
  type CallFailure,
  type OutboundAnswer,
  type OutboundRequest,
} from './call.ts';
import type { OutboundConfig } from './config.ts';
import { Connector } from './connector.ts';
import { Exchange } from './exchange.ts';
import { Pool } from './pool.ts';
import { createTunnel } from './proxy.ts';
import { createResolve } from './resolver.ts';
import { parseTarget, Refusal, type Target } from './target.ts';

/** Headers of a request that are the fleet's own to set: they say where it goes and where it ends. */
export const reservedHeaders: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

interface Tools {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Calls out by the operator's rules, which are read once: no allow-list changes under a connection that was made. */
export function createCaller(config: OutboundConfig, { log, metrics }: Tools): Caller & Part {
  const secureContext = trusting(config.outboundTlsCa);
  const { outboundAllow: allow, outboundPorts: ports, outboundProxy: proxy } = config;
  const pool = new Pool({
    connector: new Connector({
      allow,
      resolve: createResolve(config.outboundResolvers),
      secureContext,
      connectMs: config.outboundConnectMs,
      tunnel: proxy === undefined ? undefined : createTunnel(proxy, secureContext),
      log,
    }),
    connections: config.outboundConnections,
    idleConnections: config.outboundIdleConnections,
    idleMs: config.outboundIdleMs,
    headerBytes: config.outboundHeaderBytes,
  });
  const results = declareOutbound(metrics, pool);
  let closed = false;

  const target = remembered((url) => parseTarget(url, { allow, ports }));
  const shared = {
    bytes: config.outboundResponseBytes,
    onEnd: (exchange: Exchange, reusable: boolean) => pool.end(exchange, reusable),
    onStale: (exchange: Exchange) => pool.renew(exchange),
  };
  const send = (request: OutboundRequest): Promise<OutboundAnswer> => {
    if (closed) throw new CallError('connect', 'This instance of the fleet is stopping.');
    const to = target(request.url);
    judgeHeaders(request);
    const exchange = new Exchange({ target: to, request, ...shared });
    pool.start(exchange);
    return exchange.answer;
  };

  return {
    name: 'outbound',
    async call(request) {
      try {
        const answer = await send(request);
        results.answered++;
        return answer;
      } catch (thrown) {
        const error = thrown instanceof Refusal ? new CallError('refused', thrown.message) : thrown;
        if (error instanceof CallError) results[error.failure]++;
        throw error;
      }
    },
    check(url) {
      try {
        target(url);
      } catch (thrown) {
        if (!(thrown instanceof Refusal)) throw thrown;
        throw new PushfleetError('target_refused', thrown.message, { detail: { rule: thrown.rule } });
      }
    },
    async start() {
      if (proxy !== undefined)
        log.info({ proxy: proxy.host }, 'calls go through a proxy, which judges addresses');
    },
    // Who calls has work to finish, and finishes it through this.
    async drain() {},
    async close() {
      closed = true;
      pool.close();
    },
  };
}

// A worker calls the same addresses again and again, and what is judged from their text never changes.
const rememberedMax = 4_096;

function remembered(parse: (url: string) => Target): (url: string) => Target {
  const known = new Map<string, Target>();
  return (url) => {
    const before = known.get(url);
    if (before !== undefined) return before;
    const target = parse(url);
    // The oldest makes way: which one matters little at a few microseconds each.
    if (known.size >= rememberedMax) known.delete(known.keys().next().value as string);
    known.set(url, target);
    return target;
  };
}

function judgeHeaders({ headers }: OutboundRequest): void {
  for (const name in headers) {
    if (reservedHeaders.has(name))
      throw new Refusal('header', `The header "${name}" is set by the fleet alone.`);
  }
}

/** The public authorities, those of NODE_EXTRA_CA_CERTS, and the operator's. Made once: it takes milliseconds. */
function trusting(ca: string | undefined): SecureContext {
  const known = getCACertificates('default');
  return createSecureContext({ ca: ca === undefined ? known : [...known, ca], minVersion: 'TLSv1.2' });
}

type Results = Record<CallFailure | 'answered', number>;

function declareOutbound(metrics: Metrics, pool: Pool): Results {
  const results: Results = {
    answered: 0,
    refused: 0,
    lookup: 0,
    connect: 0,
    tls: 0,
    timeout: 0,
    protocol: 0,
  };
  metrics.total(
    'pushfleet_outbound_calls',
    { description: 'Calls out, by what came of them: an answer of any status, or why there was none.' },
    () => Object.entries(results).map(([result, count]) => [count, { result }] as const),
  );
  metrics.gauge(
    'pushfleet_outbound_connections',
    { description: 'Connections to receivers, idle ones included.' },
    () => pool.size,
  );
  metrics.total(
    'pushfleet_outbound_connections_opened',
    { description: 'Connections to receivers that were begun.' },
    () => pool.opened,
  );
  return results;
}
