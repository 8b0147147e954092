import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics, type Metrics, noTraces, type SpanOptions, type TraceSpan } from '@pushfleet/runtime';
import type { Errand } from '../courier.ts';
import { Tracking } from './tracking.ts';

const trace = { parent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };

/** Spans that are only remembered. */
function recorder(on = true) {
  const spans: { name: string; attributes: Record<string, unknown>; failed?: string }[] = [];
  const resume = (name: string, _: unknown, o: SpanOptions = {}): TraceSpan => {
    const span: (typeof spans)[number] = { name, attributes: { ...o.attributes } };
    spans.push(span);
    return {
      context: trace,
      set: (attributes: object) => Object.assign(span.attributes, attributes),
      end: (thrown?: Error) => thrown !== undefined && Object.assign(span, { failed: thrown.message }),
    } as unknown as TraceSpan;
  };
  return { spans, traces: { on, resume } };
}
const errand = (o: object = {}) =>
  ({
    subscription: { id: 'sub-1' },
    publication: { id: 'o-1', topic: 'orders/1' },
    id: 'msg_1',
    attempt: 1,
    ...o,
  }) as unknown as Errand;
const traced = () => errand({ publication: { id: 'o-1', topic: 'orders/1', trace }, attempt: 2 });

test('an attempt at a publication that is traced has a span, which says what it came to', () => {
  const { spans, traces } = recorder();
  const tracking = new Tracking({ kind: 'webhook', metrics: createMetrics(), traces });
  tracking.begin(traced()).end({ verdict: 'delivered', status: 204 });
  tracking.begin(traced()).end({ verdict: 'failed', error: 'It is away.' });
  assert.equal(spans.length, 2);
  const [first, second] = spans;
  assert.equal(first?.name, 'deliver');
  assert.equal(first?.attributes['pushfleet.attempt'], 2);
  assert.equal(first?.attributes['http.response.status_code'], 204);
  assert.deepEqual([first?.failed, second?.failed], [undefined, 'It is away.']);
  assert.equal(second?.attributes['pushfleet.verdict'], 'failed');
});

test('what is not traced has none, and no second has more than 100', () => {
  const { spans, traces } = recorder();
  const tracking = new Tracking({ kind: 'webhook', metrics: createMetrics(), traces });
  assert.equal(tracking.begin(errand()).span, undefined);
  for (let i = 0; i < 500; i++) tracking.begin(traced());
  assert.ok(spans.length >= 100 && spans.length < 500, String(spans.length));
  const off = recorder(false);
  new Tracking({ kind: 'webhook', metrics: createMetrics(), traces: off.traces }).begin(traced());
  assert.equal(off.spans.length, 0);
});

test('every attempt is counted and timed by its verdict', () => {
  const records: string[] = [];
  const histogram: Metrics['histogram'] = (_, __, attributes) => ({
    record: (seconds) => records.push(`${attributes?.verdict}${seconds >= 0 ? '' : ' in no time'}`),
  });
  const tracking = new Tracking({ kind: 'webhook', metrics: { histogram }, traces: noTraces });
  for (const verdict of ['delivered', 'throttled', 'delivered'] as const) {
    assert.ok(tracking.begin(errand()).end({ verdict }).durationMs >= 0);
  }
  assert.deepEqual(records, ['delivered', 'throttled', 'delivered']);
});
