import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { encode } from './encode.ts';
import { OutgoingPublish } from './outgoing-publish.ts';
import type { Qos } from './packet.ts';
import { reasons } from './reason.ts';
import { bytes, decode } from './testing.ts';
import { conversation, fromServer, message, sending, version } from './testing-arbitraries.ts';
import { encodeFromClient, readFromServer } from './testing-client.ts';

const wire = (packets: readonly Parameters<typeof encodeFromClient>[0][], v: 3 | 4 | 5): Buffer =>
  Buffer.concat(packets.map((packet) => encodeFromClient(packet, v)));

describe('what a client sends', () => {
  test('is read as it was meant, in every version', () => {
    fc.assert(
      fc.property(conversation, ({ version: v, packets }) => {
        const decoded = decode([wire(packets, v)]);
        assert.equal(decoded.violation, undefined);
        assert.deepEqual(decoded.packets, packets);
        assert.equal(decoded.decoder.version, v);
      }),
      { numRuns: 3_000 },
    );
  });

  test('is read the same however it is split into chunks', () => {
    fc.assert(
      fc.property(conversation, fc.array(fc.nat(), { maxLength: 12 }), ({ version: v, packets }, cuts) => {
        const all = wire(packets, v);
        const at = [0, ...cuts.map((cut) => cut % (all.length + 1)), all.length].sort((a, b) => a - b);
        const chunks = at.slice(1).map((end, index) => all.subarray(at[index], end));
        const decoded = decode(chunks);
        assert.equal(decoded.violation, undefined);
        assert.deepEqual(decoded.packets, packets);
        assert.equal(decoded.decoder.keptBytes, 0);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is read byte by byte', () => {
    fc.assert(
      fc.property(conversation, ({ version: v, packets }) => {
        const decoded = decode([...wire(packets, v)].map((byte) => Buffer.of(byte)));
        assert.deepEqual(decoded.packets, packets);
      }),
      { numRuns: 300 },
    );
  });

  test('breaks a rule at the same place however it is split', () => {
    fc.assert(
      fc.property(
        conversation,
        fc.nat(),
        fc.nat(255),
        fc.nat(),
        ({ version: v, packets }, where, value, cut) => {
          const all = wire(packets, v);
          all[where % all.length] = value;
          const whole = decode([all]);
          const at = cut % all.length;
          const halves = decode([all.subarray(0, at), all.subarray(at)]);
          assert.deepEqual(halves.packets, whole.packets);
          assert.equal(halves.violation?.rule, whole.violation?.rule);
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe('what the server sends', () => {
  test('is read as it was meant in MQTT 5', () => {
    fc.assert(
      fc.property(fromServer, (packet) => {
        const [read, ...more] = readFromServer(encode(packet, { version: 5 }) as Buffer, 5);
        assert.deepEqual(read, packet);
        assert.deepEqual(more, []);
      }),
      { numRuns: 3_000 },
    );
  });

  test('has no properties and few reasons before MQTT 5', () => {
    fc.assert(
      fc.property(fromServer, (packet) => {
        const written = encode(packet, { version: 4 });
        if (packet.type === 'disconnect' || packet.type === 'auth') return written === undefined;
        if (written === undefined) return packet.type === 'connack' && packet.reason !== 0;
        const [read] = readFromServer(written, 4);
        assert.equal(read?.type, packet.type);
        if (read?.type === 'connack') assert.ok(read.reason <= 5);
        if (read?.type === 'suback')
          assert.ok(read.reasons.every((reason) => reason < 0x80 || reason === 0x80));
        if (read?.type === 'unsuback') assert.deepEqual(read.reasons, []);
        return true;
      }),
      { numRuns: 2_000 },
    );
  });

  test('stays within what the client takes, and gives up explanations for it', () => {
    fc.assert(
      fc.property(fromServer, fc.integer({ min: 1, max: 80 }), fc.boolean(), (packet, packetBytes, told) => {
        const peer = { version: 5, packetBytes, problemInformation: told } as const;
        const written = encode(packet, peer);
        const { userProperties, reasonString, ...needed } =
          'properties' in packet ? packet.properties : ({} as never);
        const explains = packet.type === 'connack' || packet.type === 'disconnect';
        const bare = encode('properties' in packet ? { ...packet, properties: needed as never } : packet, {
          version: 5,
        }) as Buffer;
        if (bare.length > packetBytes) return written === undefined;
        const [read] = readFromServer(written as Buffer, 5);
        assert.ok((written as Buffer).length <= packetBytes);
        assert.equal(read?.type, packet.type);
        if (!told && !explains && 'properties' in packet) assert.deepEqual(written, bare);
        if (read !== undefined && 'properties' in read && 'userProperties' in read.properties) {
          assert.deepEqual(read.properties.userProperties, userProperties);
          assert.equal('reasonString' in read.properties, reasonString !== undefined);
        }
        return true;
      }),
      { numRuns: 3_000 },
    );
  });

  for (const [says, packet, v, expected] of [
    [
      'CONNACK of 5',
      { type: 'connack', sessionPresent: true, reason: 0, properties: {} },
      5,
      '20 03 01 00 00',
    ],
    [
      'CONNACK of 3.1.1',
      { type: 'connack', sessionPresent: true, reason: 0, properties: {} },
      4,
      '20 02 01 00',
    ],
    [
      'CONNACK of 3.1',
      { type: 'connack', sessionPresent: true, reason: 0, properties: {} },
      3,
      '20 02 00 00',
    ],
    [
      'a refusal has no session',
      { type: 'connack', sessionPresent: true, reason: 0x87, properties: {} },
      5,
      '20 03 00 87 00',
    ],
    [
      'a refusal of 3.1.1',
      { type: 'connack', sessionPresent: true, reason: 0x87, properties: {} },
      4,
      '20 02 00 05',
    ],
    ['PUBACK', { type: 'puback', packetId: 0x1234, reason: 0, properties: {} }, 5, '40 02 12 34'],
    [
      'PUBACK with a reason',
      { type: 'puback', packetId: 0x1234, reason: 0x10, properties: {} },
      5,
      '40 03 12 34 10',
    ],
    ['PUBREL', { type: 'pubrel', packetId: 1, reason: 0, properties: {} }, 4, '62 02 00 01'],
    [
      'SUBACK of 5',
      { type: 'suback', packetId: 1, reasons: [0, 1, 2, 0x87], properties: {} },
      5,
      '90 07 00 01 00 00 01 02 87',
    ],
    [
      'SUBACK of 3.1.1',
      { type: 'suback', packetId: 1, reasons: [0, 1, 2, 0x87], properties: {} },
      4,
      '90 06 00 01 00 01 02 80',
    ],
    [
      'UNSUBACK of 5',
      { type: 'unsuback', packetId: 1, reasons: [0x11], properties: {} },
      5,
      'b0 04 00 01 00 11',
    ],
    [
      'UNSUBACK of 3.1.1',
      { type: 'unsuback', packetId: 1, reasons: [0x11], properties: {} },
      4,
      'b0 02 00 01',
    ],
    ['PINGRESP', { type: 'pingresp' }, 5, 'd0 00'],
    ['DISCONNECT', { type: 'disconnect', reason: 0x8e, properties: {} }, 5, 'e0 01 8e'],
    ['DISCONNECT without a reason', { type: 'disconnect', reason: 0, properties: {} }, 5, 'e0 00'],
    [
      'AUTH',
      { type: 'auth', reason: 0x18, properties: { authenticationMethod: 'm' } },
      5,
      "f0 06 18 04 15 00 01 'm'",
    ],
  ] as const) {
    test(`${says}: ${expected}`, () => assert.deepEqual(encode(packet, { version: v }), bytes(expected)));
  }

  test('has no word for what 3.1.1 does not say', () => {
    const peer = { version: 4 } as const;
    assert.equal(
      encode({ type: 'disconnect', reason: reasons.serverShuttingDown, properties: {} }, peer),
      undefined,
    );
    assert.equal(
      encode(
        { type: 'connack', sessionPresent: false, reason: reasons.malformedPacket, properties: {} },
        peer,
      ),
      undefined,
    );
  });
});

describe('a PUBLISH to many', () => {
  test('is read as it was meant, with what each receiver has of its own', () => {
    fc.assert(
      fc.property(version, message, sending, (v, given, own) => {
        const outgoing = new OutgoingPublish(v, given);
        const packet = outgoing.packet(own);
        assert.equal(packet.length, outgoing.size(own));
        const [read] = readFromServer(packet, v);
        const { expiry, subscriptionIds, topicAlias } = own;
        assert.deepEqual(read, {
          ...{ type: 'publish', dup: own.dup, qos: own.qos, retain: own.retain },
          topic: own.aliasKnown && v === 5 ? undefined : given.topic,
          packetId: own.qos === 0 ? undefined : own.packetId,
          payload: given.payload,
          properties:
            v < 5
              ? {}
              : {
                  ...given.properties,
                  ...(expiry !== undefined && { messageExpiryInterval: expiry }),
                  ...(subscriptionIds.length > 0 && { subscriptionIdentifiers: subscriptionIds }),
                  ...(topicAlias > 0 && { topicAlias }),
                },
        });
      }),
      { numRuns: 4_000 },
    );
  });

  test('is one piece of memory for all whose bytes are the same', () => {
    const own = { dup: false, subscriptionIds: [], topicAlias: 0, aliasKnown: false } as const;
    const sending = (qos: Qos, packetId: number, retain: boolean, expiry: number | undefined) => ({
      ...{ ...own, qos, packetId, retain, expiry },
    });
    const outgoing = new OutgoingPublish(5, { topic: 'a', payload: Buffer.from('x'), properties: {} });
    const shared = (...[qos, packetId, retain, expiry]: Parameters<typeof sending>) =>
      outgoing.shared(sending(qos, packetId, retain, expiry));
    const first = [shared(0, 0, false, 60), shared(1, 7, false, 60), shared(2, 7, false, 60)];
    assert.deepEqual(first, [
      bytes("30 0a 00 01 'a' 05 02 0000003c 'x'"),
      bytes("32 0c 00 01 'a' 0007 05 02 0000003c 'x'"),
      bytes("34 0c 00 01 'a' 0007 05 02 0000003c 'x'"),
    ]);
    for (const [qos, made] of first.entries())
      assert.equal(shared(qos as Qos, qos === 0 ? 0 : 7, false, 60), made);
    assert.deepEqual(shared(1, 8, false, 60), bytes("32 0c 00 01 'a' 0008 05 02 0000003c 'x'"));
    assert.deepEqual(shared(0, 0, false, undefined), bytes("30 05 00 01 'a' 00 'x'"));
    assert.deepEqual(shared(0, 0, true, undefined), bytes("31 05 00 01 'a' 00 'x'"));
    const before5 = new OutgoingPublish(4, {
      topic: 'a',
      payload: Buffer.from('x'),
      properties: { contentType: 't' },
    });
    assert.deepEqual(before5.shared(sending(0, 0, false, 60)), bytes("30 04 00 01 'a' 'x'"));
  });

  test('refuses what MQTT cannot carry', () => {
    const made = (given: object) => () =>
      new OutgoingPublish(5, { topic: 'a', payload: Buffer.alloc(0), properties: {}, ...given });
    assert.throws(made({ topic: 'x'.repeat(65_536) }), RangeError);
    assert.throws(made({ properties: { contentType: 'é'.repeat(32_768) } }), RangeError);
    assert.throws(made({ properties: { correlationData: Buffer.alloc(65_536) } }), RangeError);
    assert.throws(made({ payload: { length: 268_435_455 } }), RangeError);
  });
});
