import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { Log, Metrics, Part } from '@pushfleet/runtime';
import {
  CallError,
  type Caller,
  type CallFailure,
  type OutboundAnswer,
  type OutboundRequest,
} from './call.ts';
import { createCheck } from './check.ts';
import type { OutboundConfig } from './config.ts';
import { Connector } from './connector.ts';
import { Exchange } from './exchange.ts';
import { Pool } from './pool.ts';
import { createTunnel } from './proxy.ts';
import { createResolve } from './resolver.ts';
import { parseTarget, Refusal, type Target } from './target.ts';

interface Tools {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Calls out by the operator's rules, which are read once: no allow-list changes under a connection that was made. */
export function createCaller(config: OutboundConfig, { log, metrics }: Tools): Caller & Part {
  const pool = createPool(config, log);
  const results = declareOutbound(metrics, pool);
  const send = createSend(config, pool);
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
    check: createCheck(config),
    async start() {
      const proxy = config.outboundProxy?.host;
      if (proxy !== undefined) log.info({ proxy }, 'calls go through a proxy, which judges addresses');
    },
    // Who calls has work to finish, and finishes it through this.
    async drain() {},
    async close() {
      pool.close();
    },
  };
}

function createPool(config: OutboundConfig, log: Log): Pool {
  const { outboundAllow: allow, outboundProxy: proxy } = config;
  const secureContext = trusting(config.outboundTlsCa);
  const connector = new Connector({
    allow,
    resolve: createResolve(config.outboundResolvers),
    secureContext,
    connectMs: config.outboundConnectMs,
    tunnel: proxy === undefined ? undefined : createTunnel(proxy, secureContext),
    log,
  });
  return new Pool({
    connector,
    connections: config.outboundConnections,
    idleConnections: config.outboundIdleConnections,
    idleMs: config.outboundIdleMs,
    headerBytes: config.outboundHeaderBytes,
  });
}

/** The public authorities, those of NODE_EXTRA_CA_CERTS, and the operator's. Made once: it takes milliseconds. */
function trusting(ca: string | undefined): SecureContext {
  const known = getCACertificates('default');
  return createSecureContext({ ca: ca === undefined ? known : [...known, ca], minVersion: 'TLSv1.2' });
}

/** @throws Refusal, and CallError by the promise */
function createSend(
  { outboundAllow: allow, outboundPorts: ports, outboundResponseBytes: bytes }: OutboundConfig,
  pool: Pool,
): (request: OutboundRequest) => Promise<OutboundAnswer> {
  const targetOf = remembered((url) => parseTarget(url, { allow, ports }));
  const onEnd = (exchange: Exchange, reusable: boolean): void => pool.end(exchange, reusable);
  const onStale = (exchange: Exchange): void => pool.renew(exchange);
  return (request) => {
    const target = targetOf(request.url);
    judgeHeaders(request);
    const exchange = new Exchange({ target, request, bytes: request.answerBytes ?? bytes, onEnd, onStale });
    pool.start(exchange);
    return exchange.answer;
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

// They say where a request goes and where it ends, to the receiver and to every proxy on the way.
const reserved: ReadonlySet<string> = new Set([
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

function judgeHeaders({ headers }: OutboundRequest): void {
  for (const name in headers) {
    if (reserved.has(name.toLowerCase())) {
      throw new Refusal('header', `The header "${name}" is set by the fleet alone.`);
    }
  }
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
