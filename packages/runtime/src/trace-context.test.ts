import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { headersOf, readTrace } from './trace-context.ts';

const limits = { bytes: 64, entries: 3 };
const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const traceparent = `00-${traceId}-${spanId}-01`;

describe('traceparent', () => {
  it('names a trace, a span and whether it is sampled', () => {
    assert.deepEqual(readTrace({ traceparent }, limits), { traceId, spanId, sampled: true });
    assert.equal(readTrace({ traceparent: `00-${traceId}-${spanId}-00` }, limits)?.sampled, false);
    // Level 2 adds a flag beside it.
    assert.equal(readTrace({ traceparent: `00-${traceId}-${spanId}-03` }, limits)?.sampled, true);
    assert.equal(readTrace({ traceparent: `00-${traceId}-${spanId}-02` }, limits)?.sampled, false);
  });

  it('is read in versions that do not exist yet', () => {
    for (const later of [`cc-${traceId}-${spanId}-01`, `cc-${traceId}-${spanId}-01-what-follows`]) {
      assert.equal(readTrace({ traceparent: later }, limits)?.traceId, traceId);
    }
  });

  for (const [why, text] of [
    ['absent', undefined],
    ['empty', ''],
    ['not one', 'nonsense'],
    ['of the forbidden version', `ff-${traceId}-${spanId}-01`],
    ['of version 00 with more behind it', `${traceparent}-more`],
    ['of a later version with more behind it without a dash', `cc-${traceId}-${spanId}-01more`],
    ['with a trace of zeros', `00-${'0'.repeat(32)}-${spanId}-01`],
    ['with a span of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['in upper case', `00-${traceId.toUpperCase()}-${spanId}-01`],
    ['too short', `00-${traceId.slice(1)}-${spanId}-01`],
    ['given twice', `${traceparent},${traceparent}`],
    ['behind a space', ` ${traceparent}`],
    ['with a line end', `${traceparent}\r\n`],
  ] as const) {
    it(`is passed over where it is ${why}`, () => {
      assert.equal(readTrace({ traceparent: text, tracestate: 'a=1' }, limits), undefined);
    });
  }

  it('never throws, and only gives what a header line can carry', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b, c) => {
        const version = readTrace({ traceparent: a, tracestate: b, baggage: c }, limits);
        const read = readTrace({ traceparent, tracestate: b, baggage: c }, limits);
        for (const text of [version?.state, read?.state, read?.baggage]) {
          assert.match(text ?? '', /^[\x20-\x7e\t]*$/);
        }
      }),
    );
  });
});

describe('tracestate', () => {
  const stateOf = (tracestate: string) => readTrace({ traceparent, tracestate }, limits)?.state;

  it('goes along in order, without the white space and the empty members', () => {
    assert.equal(
      stateOf('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'),
      'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
    );
    assert.equal(stateOf(' a=1 ,, b@c=2\t'), 'a=1,b@c=2');
  });

  it('has at most 512 characters and 32 members', () => {
    const member = (name: string, length: number) => `${name}=${'x'.repeat(length - name.length - 1)}`;
    const full = `${member('a', 255)},${member('b', 256)}`;
    assert.equal(full.length, 512);
    assert.equal(stateOf(full), full);
    assert.equal(stateOf(`${member('a', 256)},${member('b', 256)}`), undefined);
    const members = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=v`).join(',');
    assert.equal(stateOf(members(32)), members(32));
    assert.equal(stateOf(members(33)), undefined);
  });

  it('is dropped where it is malformed, and the trace goes on', () => {
    for (const text of ['', ',', 'A=1', 'a', 'a=', 'a=b=c', 'a=ü', 'a=1\r\nx: y', '=1']) {
      assert.deepEqual(readTrace({ traceparent, tracestate: text }, limits), {
        traceId,
        spanId,
        sampled: true,
      });
    }
  });
});

describe('baggage', () => {
  const baggageOf = (baggage: string) => readTrace({ traceparent, baggage }, limits)?.baggage;

  it('goes along up to its limits of bytes and entries, whole or not at all', () => {
    assert.equal(baggageOf('user=ann, tier = gold;secret=no'), 'user=ann,tier = gold;secret=no');
    assert.equal(baggageOf('a=1,b=2,c=3'), 'a=1,b=2,c=3');
    assert.equal(baggageOf('a=1,b=2,c=3,d=4'), undefined);
    assert.equal(baggageOf(`a=${'x'.repeat(62)}`), `a=${'x'.repeat(62)}`);
    assert.equal(baggageOf(`a=${'x'.repeat(63)}`), undefined);
  });

  it('is dropped where it is malformed', () => {
    for (const text of ['', 'a', '=1', 'a="x"', 'a=ü', 'a=1\nb=2', 'a b=1'])
      assert.equal(baggageOf(text), undefined, text);
  });
});

it('reads what a publication carries', () => {
  const read = readTrace(headersOf({ parent: traceparent, state: 'a=1', baggage: 'b=2' }), limits);
  assert.deepEqual(read, { traceId, spanId, sampled: true, state: 'a=1', baggage: 'b=2' });
});
