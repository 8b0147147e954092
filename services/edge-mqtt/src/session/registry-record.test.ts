import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Cursor, defaultNamespace, parseTopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import type { Qos } from '../codec.ts';
import { heldOf, recordOf, sessionId, willOf } from './registry-record.ts';
import type { Held, OwedWill } from './store.ts';
import { grantOf } from './testing.ts';

const keyOf = (subject: string, clientId: string) => ({ namespace: defaultNamespace, subject, clientId });

suite('the id of a session', () => {
  test('is another one for every subject and every client id', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(text, text, text, text, (subject, clientId, other, otherId) => {
        const same = subject === other && clientId === otherId;
        assert.equal(sessionId(keyOf(subject, clientId)) === sessionId(keyOf(other, otherId)), same);
      }),
    );
    assert.equal(sessionId(keyOf('a/b', 'c')), 'a%2Fb/c');
    assert.notEqual(sessionId(keyOf('a/b', 'c')), sessionId(keyOf('a', 'b/c')));
  });

  test('is itself up to 1,024 bytes, and a digest above', () => {
    const most = 'c'.repeat(1_022);
    assert.equal(sessionId(keyOf('s', most)), `s/${most}`);
    const digest = sessionId(keyOf('s', `${most}c`));
    assert.match(digest, /^sha256:[\w-]{43}$/);
    assert.notEqual(digest, sessionId(keyOf('s', `${most}d`)));
  });
});

const held = fc.record<Held>(
  {
    share: fc.option(fc.constantFrom('g', 'group'), { nil: undefined }),
    // The registry's to give.
    group: fc.constant(undefined),
    filter: fc.constantFrom('a', 'a/#', '+/b', '$presence/x').map(parseTopicFilter),
    qos: fc.constantFrom<Qos>(0, 1, 2),
    noLocal: fc.boolean(),
    retainAsPublished: fc.boolean(),
    subscriptionIds: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 2 }),
  },
  { noNullPrototype: true },
);

suite('a subscription in the record', () => {
  test('is read as it was written, in a few bytes', () => {
    fc.assert(
      fc.property(held, (one) => {
        const filter = recordOf(one, 'g-0-0' as Cursor);
        assert.ok(filter.options.length <= 9);
        assert.deepEqual(heldOf(filter), one);
      }),
    );
  });

  test('that cannot be read is none', () => {
    const filter = { filter: 'a', group: '', startCursor: '', groupId: '' };
    for (const options of [
      [],
      [3],
      [16],
      [0x81],
      [0, 0x80],
      [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    ]) {
      assert.equal(heldOf({ ...filter, options: Buffer.from(options) }), undefined, String(options));
    }
    assert.equal(heldOf({ ...filter, filter: 'a/#/b', options: Buffer.of(0) }), undefined);
  });
});

suite('a will in the record', () => {
  const owed = (over: Partial<OwedWill['will']> = {}): OwedWill => ({
    will: { topic: 'w', payload: Buffer.from('gone'), qos: 1, retain: true, properties: {}, ...over },
    grant: grantOf(),
    origin: 'me',
  });

  test('is the publication that it becomes, and whose right it is published by', () => {
    const will = willOf(
      owed({
        properties: {
          ...{ contentType: 'text/plain', willDelayInterval: 7, messageExpiryInterval: 9 },
          userProperties: [
            ['a', '1'],
            ['a', '2'],
          ],
        },
      }),
    );
    assert.deepEqual(will, {
      ...{ topic: 'w', payload: Buffer.from('gone'), contentType: 'text/plain', source: 'ann', type: '' },
      ...{ origin: 'me', retain: true, delaySeconds: 7, lifetimeSeconds: 9 },
      attributes: [
        { name: 'mqttqos', value: '1' },
        { name: 'a', value: '1' },
        { name: 'a', value: '2' },
      ],
      right: { subject: 'ann', tokenDigest: '0123456789abcdef', issuedAt: undefined },
    });
  });

  test('lasts for a second at least, and for as long as the topic keeps it where nothing is said', () => {
    for (const [messageExpiryInterval, seconds] of [
      [undefined, 0],
      [0, 1],
      [1, 1],
      [0xffff_ffff, 0xffff_ffff],
    ] as const) {
      const properties = messageExpiryInterval === undefined ? {} : { messageExpiryInterval };
      assert.equal(willOf(owed({ properties })).lifetimeSeconds, seconds);
    }
  });

  test('is refused as a publication would be', () => {
    const userProperties = [['x', 'y'.repeat(100_000)]] as const;
    assert.throws(() => willOf(owed({ properties: { userProperties } })), { code: 'attribute_invalid' });
    assert.throws(() => willOf(owed({ topic: 'a/+' })), { code: 'topic_invalid' });
  });
});
