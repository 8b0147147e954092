import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Decoder } from './decoder.ts';
import { bytes, connects, decode, roomy, small } from './testing.ts';
import { connect4, connect5, refusals } from './testing-refusals.ts';
import { rules, Violation } from './violation.ts';

describe('what breaks a rule is refused', () => {
  test('every rule has packets that break it', () => {
    assert.deepEqual(Object.keys(refusals), rules);
    for (const rule of rules) assert.ok(refusals[rule].length > 0, rule);
  });

  for (const rule of rules) {
    test(rule, () => {
      for (const { reason, clause, after, packet } of refusals[rule]) {
        const start = after === 0 ? Buffer.alloc(0) : connects[after];
        const { packets, violation } = decode([start, bytes(packet)], small);
        const found = violation && [violation.rule, violation.reason, violation.clause];
        assert.deepEqual(found, [rule, reason, clause], `${packet} after ${after}`);
        assert.equal(packets.length, after === 0 ? 0 : 1, packet);
        assert.ok(violation instanceof Violation && violation.message.endsWith(clause));
      }
    });
  }

  test('and nothing that follows is read', () => {
    const { decoder, violation } = decode([connects[4], bytes('c1 00 c0 00')]);
    assert.throws(() => decoder.next(), violation);
    decoder.push(bytes('c0 00'));
    assert.throws(() => decoder.next(), violation);
  });

  test('in words that name the property and nothing that the client sent', () => {
    const { violation } = decode([connects[5], bytes("30 0a 0001 'a' 06 03 0000 03 0000")]);
    assert.equal(violation?.message, 'The property stands once in a packet. (contentType) section 3.3.2.3.9');
  });
});

describe('whom to answer, and how', () => {
  for (const [says, packet, version] of [
    ['a CONNECT that does not come to its version', "10 06 0004 'MQTT'", undefined],
    ['another protocol', "10 0c 0003 'MQT' 04 02 000a 0001 'p'", undefined],
    ['no CONNECT', '30', undefined],
    ['3.1.1 with a fault', connect4('0d', '03', "0001 'p'"), 4],
    ['5 with a fault', connect5('0e', '03', "00 0001 'p'"), 5],
    ['3.1 with the name of 3.1.1', "10 0d 0004 'MQTT' 03 02 000a 0001 'p'", 3],
    ['3.1.1 with the name of 3.1', "10 0f 0006 'MQIsdp' 04 02 000a 0001 'p'", 4],
    ['a version of the future', "10 0d 0004 'MQTT' 06 02 000a 0001 'p'", 5],
  ] as const) {
    test(`${says}: ${version ?? 'nobody'}`, () => {
      const { decoder, violation } = decode([bytes(packet)]);
      if (version === undefined && violation === undefined) assert.equal(decoder.next(), undefined);
      assert.equal(decoder.version, version);
    });
  }
});

describe('what is right is read', () => {
  for (const [says, after, packet, expected] of [
    [
      'QoS 0 of 3.1.1',
      4,
      "30 04 0001 'a' 'x'",
      { topic: 'a', qos: 0, packetId: undefined, payload: Buffer.from('x') },
    ],
    ['an empty payload', 4, "31 03 0001 'a'", { retain: true, payload: Buffer.alloc(0) }],
    ['a duplicate', 4, "3a 05 0001 'a' 1234", { dup: true, qos: 1, packetId: 0x1234 }],
    [
      'an alias in place of a topic',
      5,
      '30 06 0000 03 23 0007',
      { topic: undefined, properties: { topicAlias: 7 } },
    ],
    ['U+FEFF kept ([MQTT-1.5.4-3])', 4, '30 05 0003 efbbbf', { topic: '\ufeff' }],
    ['U+2A6D4', 4, '30 07 0005 41 f0aa9b94', { topic: 'A\u{2a6d4}' }],
    [
      'control characters in user properties',
      5,
      "30 0b 0001 'a' 07 26 0001 0a 0001 09",
      { properties: { userProperties: [['\n', '\t']] } },
    ],
    [
      'user properties in order',
      5,
      "30 12 0001 'a' 0e 26 0001 'k' 0001 '1' 26 0001 'k' 0001 '2'",
      {
        properties: {
          userProperties: [
            ['k', '1'],
            ['k', '2'],
          ],
        },
      },
    ],
    ['an empty content type', 5, "30 07 0001 'a' 03 03 0000", { properties: { contentType: '' } }],
    ['a length with more bytes than needed, which 3.1.1 allows', 4, "30 8400 0001 'a' 'x'", { topic: 'a' }],
    ['an acknowledgement without a reason', 5, '40 02 0001', { packetId: 1, reason: 0, properties: {} }],
    ['one without properties', 5, '50 03 0001 87', { packetId: 1, reason: 0x87, properties: {} }],
    ['one with an empty reason string', 5, '40 07 0001 00 03 1f 0000', { properties: { reasonString: '' } }],
    ['0x10, which bridges send', 5, '40 03 0001 10', { reason: 0x10 }],
    ['DISCONNECT without a reason', 5, 'e0 00', { type: 'disconnect', reason: 0 }],
    ['DISCONNECT with a will', 5, 'e0 01 04', { reason: 4 }],
    ['AUTH', 5, "f0 06 19 04 15 0001 'm'", { reason: 0x19, properties: { authenticationMethod: 'm' } }],
    ['a filter of 3.1 with DUP', 3, "8a 06 0001 0001 'p' 01", { type: 'subscribe' }],
    ['a PUBREL of 3.1 with DUP', 3, '6a 02 0001', { type: 'pubrel' }],
  ] as const) {
    test(says, () => {
      const { packets, violation } = decode([connects[after], bytes(packet)]);
      assert.equal(violation, undefined);
      assert.partialDeepStrictEqual(packets[1], expected);
    });
  }

  test('filters of every form, shared ones apart from their group', () => {
    const filters = [
      '#',
      '+',
      '/',
      '//',
      '+/+',
      'a/#',
      '+/a/+/#',
      '$share/g/+/#',
      '$share',
      '$sharex/a',
      '$SYS/#',
    ];
    const body = filters.map((filter) => Buffer.from([0, filter.length, ...Buffer.from(filter), 1]));
    const payload = Buffer.concat([Buffer.of(0, 1), ...body]);
    const { packets } = decode([connects[4], Buffer.from([0x82, payload.length]), payload]);
    const [, subscribe] = packets;
    assert.ok(subscribe?.type === 'subscribe');
    const read = subscribe.subscriptions.map(({ share, filter }) => [share, filter]);
    assert.deepEqual(
      read,
      filters.map((filter) => (filter === '$share/g/+/#' ? ['g', '+/#'] : [undefined, filter])),
    );
  });

  test('a CONNECT of 3.1 with what 3.1 leaves open', () => {
    // Flags of the fixed header, the reserved connect flag, and a user name that is announced and missing.
    const { packets } = decode([bytes("14 0f 0006 'MQIsdp' 03 83 000a 0001 'p'")]);
    assert.partialDeepStrictEqual(packets[0], {
      version: 3,
      cleanStart: true,
      clientId: 'p',
      userName: undefined,
    });
  });

  test('a client id of MQTT 5 that the server is to assign', () => {
    const { packets } = decode([bytes(connect5('0d', '00', '00 0000'))]);
    assert.partialDeepStrictEqual(packets[0], { clientId: '', cleanStart: false });
  });

  test('a password without a user name, in MQTT 5', () => {
    const { packets } = decode([bytes(connect5('11', '42', "00 0001 'p' 0001 00"))]);
    assert.partialDeepStrictEqual(packets[0], { userName: undefined, password: Buffer.of(0) });
  });
});

describe('limits', () => {
  const publish = (length: number): Buffer => {
    const body = Buffer.concat([Buffer.from([0, 1, 0x61]), Buffer.alloc(length - 3)]);
    return Buffer.concat([Buffer.from([0x30, length]), body]);
  };

  for (const [length, accepted] of [
    [61, true],
    [62, true],
    [63, false],
  ] as const) {
    test(`a packet of ${length + 2} bytes where 64 are taken`, () => {
      const { packets, violation } = decode([connects[4], publish(length)], small);
      assert.equal(packets.length, accepted ? 2 : 1);
      assert.equal(violation?.rule, accepted ? undefined : 'packet_large');
    });
  }

  for (const [count, accepted] of [
    [1, true],
    [2, true],
    [3, false],
  ] as const) {
    test(`${count} filters where 2 are taken`, () => {
      const filters = Buffer.alloc(4 * count, Buffer.from([0, 1, 0x61, 0]));
      const packet = Buffer.concat([Buffer.from([0x82, 2 + filters.length, 0, 1]), filters]);
      assert.equal(decode([connects[4], packet], small).violation?.rule, accepted ? undefined : 'too_many');
    });

    test(`${count} user properties where 2 are taken`, () => {
      const properties = Buffer.alloc(5 * count, Buffer.from([0x26, 0, 0, 0, 0]));
      const head = Buffer.from([0x30, 4 + properties.length, 0, 1, 0x61, properties.length]);
      const { violation } = decode([connects[5], Buffer.concat([head, properties])], small);
      assert.equal(violation?.rule, accepted ? undefined : 'too_many');
    });
  }
});

describe('memory', () => {
  test('a payload is a view of the chunk that it came in', () => {
    const chunk = Buffer.concat([connects[4], bytes("30 04 0001 'a' 'x'")]);
    const [, publish] = decode([chunk]).packets;
    assert.ok(publish?.type === 'publish');
    assert.equal(publish.payload.buffer, chunk.buffer);
  });

  test('grows with what has come, not with what was announced', () => {
    const decoder = new Decoder({ ...roomy, packetBytes: 300_000_000 });
    decoder.push(connects[4]);
    assert.ok(decoder.next());
    assert.equal(decoder.next(), undefined);
    decoder.push(bytes('30 ffffff7f 0001'));
    assert.equal(decoder.next(), undefined);
    assert.ok(decoder.keptBytes <= 256);
    for (let sent = 0; sent < 100_000; sent += 100) {
      decoder.push(Buffer.alloc(100, 'a'));
      assert.equal(decoder.next(), undefined);
      assert.ok(decoder.keptBytes <= Math.max(256, 2 * (sent + 102)));
    }
  });

  test('copies each byte a bounded number of times, however small the chunks', () => {
    const length = 1_000_000;
    const packet = Buffer.alloc(4 + length);
    packet.set(bytes('30 c0843d 0001 61'));
    const decoder = new Decoder(roomy);
    decoder.push(connects[4]);
    assert.ok(decoder.next());
    assert.equal(decoder.next(), undefined);
    let sizes = 0;
    let before = 0;
    for (let at = 0; at < packet.length - 1; at += 7) {
      decoder.push(packet.subarray(at, Math.min(at + 7, packet.length - 1)));
      assert.equal(decoder.next(), undefined);
      if (decoder.keptBytes !== before) sizes += decoder.keptBytes;
      before = decoder.keptBytes;
    }
    decoder.push(packet.subarray(-1));
    const publish = decoder.next();
    assert.ok(publish?.type === 'publish' && publish.payload.length === length - 3);
    assert.equal(decoder.keptBytes, 0);
    // All that was ever allocated for it: a geometric series.
    assert.ok(sizes <= 3 * length, `${sizes} bytes`);
  });

  test('is let go of with the packet', () => {
    const decoder = new Decoder(roomy);
    for (const byte of connects[4]) {
      assert.equal(decoder.next(), undefined);
      decoder.push(Buffer.of(byte));
    }
    assert.ok(decoder.next());
    assert.equal(decoder.keptBytes, 0);
  });

  test('a chunk is read to its end before the next one comes', () => {
    const decoder = new Decoder(roomy);
    decoder.push(Buffer.concat([connects[4], bytes('c000')]));
    assert.ok(decoder.next());
    assert.throws(() => decoder.push(bytes('c000')), /read to its end/);
  });
});
