import { createRequire } from 'node:module';
import type * as Api from '@opentelemetry/api';
import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { PublishError } from './error.ts';
import type { Answer } from './lane.ts';

/** The span of one publication, from the call to its answer. */
export interface PublicationSpan {
  /** W3C Trace Context, section 3.2. */
  readonly traceparent: string;
  end(answer: Answer): void;
}

const api = load();

/** @returns undefined where the caller's process has no OpenTelemetry */
function load(): typeof Api | undefined {
  try {
    // An optional peer: `import` would make it necessary, and waiting for one would keep `require` from loading us.
    return createRequire(import.meta.url)('@opentelemetry/api') as typeof Api;
  } catch {
    return undefined;
  }
}

// The enum's value, which a type alone does not bring along.
const errorStatus: Api.SpanStatusCode.ERROR = 2;

/** A producer span below the caller's active one; undefined where nothing is traced. */
export function startSpan({ topic, id, payload }: Draft): PublicationSpan | undefined {
  if (api === undefined) return undefined;
  const parent = api.context.active();
  const span = api.trace.getTracer('@pushfleet/publisher').startSpan(
    'publish',
    {
      kind: api.SpanKind.PRODUCER,
      attributes: {
        'messaging.system': 'pushfleet',
        'messaging.operation.type': 'send',
        'messaging.destination.name': topic,
        'messaging.message.id': id,
        'messaging.message.body.size': payload.length,
      },
    },
    parent,
  );
  const context = span.spanContext();
  if (!api.isSpanContextValid(context)) return undefined;
  const flags = context.traceFlags.toString(16).padStart(2, '0');
  return {
    traceparent: `00-${context.traceId}-${context.spanId}-${flags}`,
    end: (answer) => end(span, answer),
  };
}

function end(span: Api.Span, answer: Answer): void {
  if (answer instanceof PublishError) {
    span.setAttribute('error.type', answer.code);
    span.setStatus({ code: errorStatus, message: answer.message });
  }
  span.end();
}
