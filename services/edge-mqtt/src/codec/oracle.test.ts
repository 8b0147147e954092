import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import mqtt from 'mqtt-packet';
import { encode } from './encode.ts';
import type { FilterName } from './names.ts';
import { OutgoingPublish } from './outgoing-publish.ts';
import type { ClientPacket, Publish, ServerPacket } from './packet.ts';
import { bytes, connects, decode } from './testing.ts';
import { conversation, fromServer, message, sending, version } from './testing-arbitraries.ts';
import { encodeFromClient, readFromServer } from './testing-client.ts';
import { refusals } from './testing-refusals.ts';
import { type Rule, rules, type Version } from './violation.ts';

// mqtt-packet, which others wrote, has to mean the same by the same bytes.

type Theirs = Record<string, unknown>;

const names: Readonly<Record<string, string>> = {
  maximumQos: 'maximumQoS',
  subscriptionIdentifierAvailable: 'subscriptionIdentifiersAvailable',
  subscriptionIdentifiers: 'subscriptionIdentifier',
};

/** It keeps user properties by their names: the order of different ones is lost, and so is an empty value before another. */
function grouped(pairs: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const byName: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of pairs) {
    const before = byName[name];
    if (!before) byName[name] = value;
    else byName[name] = [before, value].flat();
  }
  return byName;
}

function theirProperties(properties: object): Theirs {
  const entries = Object.entries(properties).map(([name, value]) => {
    if (name === 'userProperties') return [name, grouped(value)];
    if (name === 'maximumQos') return [names[name], value];
    const only = name === 'subscriptionIdentifiers' && value.length === 1 ? value[0] : value;
    return [names[name] ?? name, only];
  });
  return entries.length === 0 ? {} : { properties: Object.fromEntries(entries) };
}

const joined = ({ share, filter }: FilterName): string =>
  share === undefined ? filter : `$share/${share}/${filter}`;

/** A packet as mqtt-packet has it. */
function theirs(packet: ClientPacket | ServerPacket | Publish, v: Version): Theirs {
  const rest = 'properties' in packet && v === 5 ? theirProperties(packet.properties) : {};
  const cmd = { cmd: packet.type };
  switch (packet.type) {
    case 'connect':
      return {
        ...{ ...cmd, ...rest, protocolId: v === 3 ? 'MQIsdp' : 'MQTT', protocolVersion: v },
        ...{ clean: packet.cleanStart, keepalive: packet.keepAlive, clientId: packet.clientId },
        ...(packet.will && { will: theirWill(packet.will, v) }),
        ...(packet.userName !== undefined && { username: packet.userName }),
        ...(packet.password !== undefined && { password: packet.password }),
      };
    case 'publish': {
      const { dup, qos, retain, topic = '', payload, packetId } = packet;
      const id = packetId === undefined ? {} : { messageId: packetId };
      return { ...cmd, ...rest, dup, qos, retain, topic, payload, ...id };
    }
    case 'connack': {
      const { sessionPresent, reason } = packet;
      return {
        ...cmd,
        ...rest,
        sessionPresent,
        ...(v === 5 ? { reasonCode: reason } : { returnCode: reason }),
      };
    }
    case 'subscribe':
      return {
        ...{ ...cmd, ...rest, messageId: packet.packetId },
        subscriptions: packet.subscriptions.map((one) => ({
          topic: joined(one),
          qos: one.qos,
          ...(v === 5 && { nl: one.noLocal, rap: one.retainAsPublished, rh: one.retainHandling }),
        })),
      };
    case 'unsubscribe':
      return { ...cmd, ...rest, messageId: packet.packetId, unsubscriptions: packet.filters.map(joined) };
    case 'suback':
    case 'unsuback':
      return { ...cmd, ...rest, messageId: packet.packetId, granted: packet.reasons };
    case 'pingreq':
    case 'pingresp':
      return cmd;
    case 'disconnect':
    case 'auth':
      return { ...cmd, ...rest, ...(v === 5 && { reasonCode: packet.reason }) };
    default:
      return { ...cmd, ...rest, messageId: packet.packetId, ...(v === 5 && { reasonCode: packet.reason }) };
  }
}

function theirWill(
  { properties, ...will }: NonNullable<Extract<ClientPacket, { type: 'connect' }>['will']>,
  v: Version,
) {
  return { ...will, ...(v === 5 && theirProperties(properties)) };
}

/** What it reads, up to its first error. */
function read(chunk: Buffer, v: Version): { packets: Theirs[]; error: Error | undefined } {
  const parser = mqtt.parser({ protocolVersion: v });
  const packets: Theirs[] = [];
  let error: Error | undefined;
  parser.on('packet', (packet) => packets.push({ ...packet } as Theirs));
  parser.on('error', (thrown) => {
    error ??= thrown as Error;
  });
  try {
    parser.parse(chunk);
  } catch (thrown) {
    error ??= thrown as Error;
  }
  return { packets, error };
}

describe('mqtt-packet and this codec', () => {
  test('read the same from what a client sends', () => {
    fc.assert(
      fc.property(conversation, ({ version: v, packets }) => {
        for (const packet of packets) {
          const { packets: found, error } = read(encodeFromClient(packet, v), v);
          assert.equal(error, undefined);
          assert.partialDeepStrictEqual(found, [theirs(packet, v)]);
        }
      }),
      { numRuns: 1_500 },
    );
  });

  test('read the same from what mqtt-packet writes', () => {
    fc.assert(
      fc.property(conversation.filter(writes), ({ version: v, packets }) => {
        const written = packets.map((packet) =>
          mqtt.generate(theirs(packet, v) as never, { protocolVersion: v }),
        );
        const decoded = decode(written);
        assert.equal(decoded.violation, undefined);
        const meant = packets.map((packet) => theirs(packet, v));
        assert.deepEqual(
          decoded.packets.map((packet) => theirs(packet, v)),
          meant,
        );
      }),
      { numRuns: 1_500 },
    );
  });

  test('read the same from what the server sends', () => {
    fc.assert(
      fc.property(fromServer, (packet) => {
        const { packets, error } = read(encode(packet, { version: 5 }) as Buffer, 5);
        assert.equal(error, undefined);
        assert.partialDeepStrictEqual(packets, [theirs(packet, 5)]);
      }),
      { numRuns: 1_500 },
    );
  });

  test('read the same from a PUBLISH to many', () => {
    fc.assert(
      fc.property(version, message, sending, (v, given, own) => {
        const outgoing = new OutgoingPublish(v, given);
        const packet = outgoing.packet(own);
        const { packets, error } = read(packet, v);
        assert.equal(error, undefined);
        assert.partialDeepStrictEqual(packets, [theirs(readFromServer(packet, v)[0] as Publish, v)]);
      }),
      { numRuns: 1_500 },
    );
  });
});

/** What mqtt-packet can write: no password without a user name, no session without a client id; MQTT 5 has both. */
function writes({ packets: [connect] }: { readonly packets: readonly ClientPacket[] }): boolean {
  if (connect?.type !== 'connect') return false;
  const { userName, password, clientId, cleanStart } = connect;
  return (password === undefined || !!userName) && (clientId !== '' || cleanStart);
}

// What the standard leaves to the receiver.
const ours: readonly Rule[] = ['text_control', 'client_id_text', 'packet_large', 'too_many'];

describe('mqtt-packet is laxer', () => {
  const accepted = (rule: Rule): number =>
    refusals[rule].filter(({ after, packet }) => {
      const start = after === 0 ? Buffer.alloc(0) : connects[after];
      const v = after === 0 ? 4 : after;
      const { packets, error } = read(Buffer.concat([start, bytes(packet)]), v);
      return error === undefined && packets.length > (after === 0 ? 0 : 1);
    }).length;

  test('it reads packets that break these rules', () => {
    assert.deepEqual(
      rules.filter((rule) => !ours.includes(rule) && accepted(rule) > 0),
      [
        ...['truncated', 'trailing', 'integer_padded', 'text_encoding', 'text_nul', 'packet_id'],
        ...['protocol_version', 'will_qos_3', 'password_alone', 'client_id_empty', 'auth_data_alone'],
        ...['property_misplaced', 'property_repeated', 'property_value', 'topic_absent', 'topic_alias_0'],
        ...['subscription_id_sent', 'name_empty', 'name_wildcard', 'filter_hash', 'filter_plus'],
        ...['share_name', 'subscribe_empty', 'unsubscribe_empty', 'no_local_shared'],
        ...['reason_disconnect', 'reason_auth', 'auth_method_absent'],
      ],
    );
  });

  test('it refuses nothing that is read here, but for what MQTT 3.1 leaves open', () => {
    fc.assert(
      fc.property(conversation, fc.nat(), fc.nat(255), ({ version: v, packets }, where, value) => {
        const chunk = Buffer.concat(packets.map((packet) => encodeFromClient(packet, v)));
        chunk[where % chunk.length] = value;
        const { violation, decoder } = decode([chunk]);
        if (violation !== undefined || decoder.version === undefined || decoder.version === 3) return;
        assert.equal(read(chunk, decoder.version).error, undefined);
      }),
      { numRuns: 3_000 },
    );
  });
});
