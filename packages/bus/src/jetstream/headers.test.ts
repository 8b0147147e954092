import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Attributes, Draft, Namespace, Topic, TraceContext } from '@pushfleet/core';
import fc from 'fast-check';
import {
  Block,
  BrokerLines,
  decodePublication,
  draftLines,
  headerLine,
  statusOf,
  ttlLine,
} from './headers.ts';
import { outgoing } from './outgoing.ts';

const at = { time: 1_000, shard: 2, sequence: 7 };
const payload = Uint8Array.of(1, 2, 3);
const topic = 'a/b' as Topic;
const now = 1_800_000_000_000;
const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

const blockOf = (draft: Draft, more = ''): Uint8Array => new Block(draftLines(draft) + more).encode();

// Only NUL and broken Unicode cannot be in an attribute.
const free = fc
  .string({ unit: 'binary', maxLength: 20 })
  .map((text) => text.toWellFormed().replaceAll('\0', ''));
const named = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .map((text) => text.toWellFormed().replace(/[\0-\u001f\u007f]/g, '') || 'x');
const tricky = fc.constantFrom('\r\n', '\r\nPf-Id: other', ': ', ' ', '%0D', '%', '=', 'ü', '');
const value = fc.oneof(
  free,
  fc.array(tricky, { maxLength: 4 }).map((parts) => parts.join('')),
);
const name = value.filter((text) => text.length > 0);

const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });
const visible = fc
  .string({ unit: fc.constantFrom(' ', ',', '=', ';', ':', '%', 'a', '~'), minLength: 1, maxLength: 40 })
  .map((text) => text.trim() || 'k=v');
const traces: fc.Arbitrary<TraceContext> = fc.record(
  {
    parent: fc.tuple(digits(2), digits(32), digits(16), digits(2)).map((parts) => parts.join('-')),
    state: visible,
    baggage: visible,
  },
  { requiredKeys: ['parent'], noNullPrototype: true },
);

const drafts: fc.Arbitrary<Draft> = fc
  .record(
    {
      id: named,
      source: named,
      contentType: named,
      type: named,
      origin: free,
      attributes: fc.array(fc.tuple(name, value), { minLength: 1, maxLength: 6 }) as fc.Arbitrary<Attributes>,
      retain: fc.constant(true),
      expiresAt: fc.integer({ min: 1, max: now * 2 }),
      trace: traces,
    },
    { requiredKeys: ['id', 'source', 'contentType'] },
  )
  .map((fields) => ({ ...fields, topic, payload }));

describe('the header block', () => {
  it('is written as operators read it', () => {
    const draft: Draft = {
      id: '1%',
      source: 's',
      topic,
      contentType: 'text/plain',
      payload,
      type: 't',
      attributes: [
        ['b', '1'],
        ['a', ' x\r\n'],
        ['b', '2'],
      ],
      retain: true,
      expiresAt: now + 1_500,
      trace: { parent, state: 'a=1,b=2', baggage: 'user=%C3%BC' },
    };
    assert.equal(
      Buffer.from(new Block(headerLine('Nats-Msg-Id', 'x') + draftLines(draft)).encode()).toString(),
      'NATS/1.0\r\nNats-Msg-Id: x\r\nPf-Id: 1%25\r\nPf-Source: s\r\nPf-Content-Type: text/plain\r\nPf-Type: t\r\n' +
        'Pf-Attribute: b=1\r\nPf-Attribute: a=%20x%0D%0A\r\nPf-Attribute: b=2\r\nPf-Retain: 1\r\n' +
        `Pf-Expires: ${now + 1_500}\r\ntraceparent: ${parent}\r\ntracestate: a=1,b=2\r\nbaggage: user=%C3%BC\r\n\r\n`,
    );
  });

  it('gives back every draft, and has the size it says', () => {
    fc.assert(
      fc.property(drafts, (draft) => {
        const block = blockOf(draft);
        assert.equal(Block.size(draftLines(draft)), block.length);
        assert.deepEqual(decodePublication(block, payload, topic, at), { ...draft, ...at });
      }),
      { numRuns: 2_000 },
    );
  });

  it('never lets a value become a line of the broker', () => {
    fc.assert(
      fc.property(drafts, (draft) => {
        const lines = new BrokerLines(blockOf(draft));
        assert.equal(lines.get('Nats-Stream'), undefined);
        assert.equal(lines.get('Nats-Sequence'), undefined);
      }),
    );
    const forged = {
      id: 'x',
      source: 's',
      contentType: 'c',
      topic,
      payload,
      attributes: [['a', '\r\nNats-Sequence: 9']],
    };
    const block = blockOf(forged as unknown as Draft, headerLine('Nats-Sequence', 5));
    assert.equal(new BrokerLines(block).number('Nats-Sequence'), 5);
  });

  it('is read without throwing, whatever it holds', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: 'binary', maxLength: 200 }).map((text) => new TextEncoder().encode(text)),
      drafts.chain((draft) =>
        fc.tuple(fc.nat(400), fc.nat(255)).map(([index, byte]) => {
          const block = Uint8Array.from(blockOf(draft));
          block[index % block.length] = byte;
          return block.subarray(0, block.length - (byte % 7));
        }),
      ),
    );
    fc.assert(
      fc.property(noise, (block) => {
        const publication = decodePublication(block, payload, topic, at);
        assert.ok(publication.id.length >= 0 && publication.sequence === 7);
        statusOf(block);
        const lines = new BrokerLines(block);
        lines.get('Nats-Stream');
        lines.number('Nats-Sequence');
        lines.text('Nats-Subject');
      }),
      { numRuns: 3_000 },
    );
  });

  it('leaves out what is no trace, going in and coming back', () => {
    const draft = (trace: TraceContext): Draft => ({
      id: 'x',
      source: 's',
      contentType: 'c',
      topic,
      payload,
      trace,
    });
    const kept = (trace: TraceContext) => decodePublication(blockOf(draft(trace)), payload, topic, at).trace;
    assert.equal(kept({ parent: `${parent}\r\nNats-TTL: 1`, state: 'a=1' }), undefined);
    assert.equal(kept({ parent: 'none' }), undefined);
    const broken = { state: 'a=1\r\nPf-Id: y', baggage: 'a=\u00fc' };
    assert.deepEqual(kept({ parent, ...broken }), { parent });
    assert.deepEqual(kept({ parent, state: 'a'.repeat(512), baggage: 'b'.repeat(8_192) }), {
      parent,
      state: 'a'.repeat(512),
      baggage: 'b'.repeat(8_192),
    });
    assert.deepEqual(kept({ parent, state: 'a'.repeat(513), baggage: 'b'.repeat(8_193) }), { parent });
    const stored = (lines: string) =>
      decodePublication(Buffer.from(`NATS/1.0\r\n${lines}\r\n`), payload, topic, at).trace;
    assert.equal(stored('traceparent: 00-xyz\r\ntracestate: a=1\r\nbaggage: b=1\r\n'), undefined);
    assert.deepEqual(stored(`traceparent: ${parent}\r\ntracestate: \u0001\r\n`), { parent });
  });

  it('of a message written by hand names it after its place', () => {
    const { id, source, contentType } = decodePublication(new Uint8Array(), payload, topic, at);
    assert.deepEqual([id, source, contentType], ['2-7', 'unknown', 'application/octet-stream']);
  });

  it('holds no expiry that subscribers could not be told of', () => {
    const block = Buffer.from('NATS/1.0\r\nPf-Expires: 8900000000000000\r\n\r\n');
    assert.equal(decodePublication(block, payload, topic, at).expiresAt, undefined);
  });

  it('gives the broker no expiry that it cannot count to', () => {
    const [, seconds] = ttlLine(Date.parse('9999-12-31')).split(/[:\r]/);
    const nanos = (BigInt(Date.parse('2150-01-01')) + BigInt(Number(seconds)) * 1_000n) * 1_000_000n;
    assert.ok(nanos < 2n ** 63n);
  });

  it('lets the broker remove what has expired or what its policy keeps no longer, whichever comes first', () => {
    const ttl = (life: Partial<Draft>) => {
      const draft = { id: 'x', source: 's', contentType: 'c', topic, payload, ...life };
      const { lines } = outgoing('ns' as Namespace, draft, 0, now, now, () => {});
      return /Nats-TTL: (\d+)/.exec(lines)?.[1];
    };
    assert.equal(ttl({}), undefined);
    assert.equal(ttl({ expiresAt: now + 1_500 }), '2');
    assert.equal(ttl({ keepMs: 60_000 }), '60');
    assert.equal(ttl({ keepMs: 60_000, expiresAt: now + 5_000 }), '5');
    assert.equal(ttl({ keepMs: 3_000, expiresAt: now + 5_000 }), '3');
  });

  it('tells the status of the broker, and no TTL below a second', () => {
    assert.equal(statusOf(Buffer.from('NATS/1.0 503\r\n\r\n')), 503);
    assert.equal(statusOf(Buffer.from('NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n')), 204);
    assert.equal(statusOf(Buffer.from('NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n')), 0);
    assert.equal(ttlLine(-5), 'Nats-TTL: 1\r\n');
  });
});
