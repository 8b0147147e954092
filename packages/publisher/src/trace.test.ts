import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { connect } from './connect.ts';
import { receiptOf, refusalOf, startTestService, type TestService } from './testing-service.ts';

describe('a publisher in a process with OpenTelemetry', () => {
  const exporter = new InMemorySpanExporter();
  let service: TestService;
  before(async () => {
    trace.setGlobalTracerProvider(
      new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }),
    );
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    service = await startTestService((drafts) =>
      drafts.map((draft) => (draft.topic === 'no' ? refusalOf('forbidden') : receiptOf(draft))),
    );
  });
  after(() => service.stop());

  it('makes a span for each publication below the active one, and sends its place along', async () => {
    const publisher = connect({ url: service.url, token: 't' });
    const tracer = trace.getTracer('tests');
    const traces = ['a', 'b', 'no'].map((topic) =>
      tracer.startActiveSpan(`request ${topic}`, async (span) => {
        await publisher.publish(topic, 1, { id: topic }).catch(() => {});
        span.end();
        return span.spanContext();
      }),
    );
    const parents = await Promise.all(traces);
    await publisher.close();
    const spans = exporter.getFinishedSpans().filter(({ kind }) => kind === SpanKind.PRODUCER);
    const drafts = service.batches.flat();
    for (const [index, id] of ['a', 'b', 'no'].entries()) {
      const span = spans.find(({ attributes }) => attributes['messaging.message.id'] === id);
      const parent = parents[index];
      const { traceId, spanId } = span?.spanContext() ?? {};
      assert.equal(span?.parentSpanContext?.spanId, parent?.spanId);
      assert.equal(traceId, parent?.traceId);
      assert.equal(drafts.find((draft) => draft.id === id)?.traceparent, `00-${traceId}-${spanId}-01`);
      assert.equal(span?.status.code === SpanStatusCode.ERROR, id === 'no');
      assert.equal(span?.attributes['error.type'], id === 'no' ? 'forbidden' : undefined);
    }
  });
});
