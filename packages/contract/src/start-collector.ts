import { MockOtlpServer, normalizeTrace } from '@elastic/mockotlpserver';

/** A span as the collector received it. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  /** As in `SERVER`. */
  readonly kind: string;
  readonly failed: boolean;
  readonly traceState: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface Collector {
  /** Where it takes OTLP by HTTP, in protobuf or JSON. */
  readonly url: string;
  /** Where it takes OTLP by gRPC. */
  readonly grpcUrl: string;
  /** What has come so far. */
  readonly spans: readonly CollectedSpan[];
  stop(): Promise<void>;
}

type Attributes = Record<string, unknown>;

interface Received {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Attributes };
    readonly scopeSpans: readonly { readonly spans: readonly ReceivedSpan[] }[];
  }[];
}

interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: string;
  readonly traceState?: string;
  readonly status: { readonly code: string };
  readonly attributes?: Attributes;
}

/**
 * A receiver of OpenTelemetry's protocol that others wrote and test their own SDK with. One at a time: what it
 * receives it tells the whole process.
 */
export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const server = new MockOtlpServer({
    logLevel: 'warn',
    services: ['http', 'grpc'],
    httpHostname: '127.0.0.1',
    httpPort: 0,
    grpcHostname: '127.0.0.1',
    grpcPort: 0,
    onTrace: (request) => spans.push(...read(normalizeTrace(request))),
  });
  await server.start();
  return {
    url: server.httpUrl.href,
    grpcUrl: server.grpcUrl.href,
    spans,
    stop: () => server.close(),
  };
}

function read({ resourceSpans }: Received): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(
        ({ traceId, spanId, parentSpanId, name, kind, traceState = '', status, attributes = {} }) => ({
          traceId,
          spanId,
          parentSpanId,
          name,
          kind: kind.replace('SPAN_KIND_', ''),
          failed: status.code === 'STATUS_CODE_ERROR',
          traceState,
          attributes,
          resource: resource.attributes,
        }),
      ),
    ),
  );
}
