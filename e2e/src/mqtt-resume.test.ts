import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet';
import { Fleet, token } from './fleet.ts';
import { connectPacket, type Entry, RawConnection } from './mqtt-raw.ts';

const patienceMs = 30_000;

/** Of a packet, what the standard says of its being sent again. */
const told = (packet: Packet): string =>
  packet.cmd === 'publish'
    ? `PUBLISH ${packet.messageId} ${packet.payload} QoS ${packet.qos} DUP ${packet.dup ? 1 : 0}`
    : `${packet.cmd.toUpperCase()} ${packet.messageId}`;

/** PUBREL before PUBLISH, else as they stand. */
const byKind = (a: string, b: string): number =>
  Number(a.startsWith('PUBLISH')) - Number(b.startsWith('PUBLISH'));

suite('a session whose pod is killed goes on at another one', () => {
  let fleet: Fleet;
  let all: string;
  const open: RawConnection[] = [];
  const pods = (): string[] => fleet.edgesOf('edge-mqtt').map(({ addresses }) => addresses.mqtt as string);

  before(async () => {
    fleet = await Fleet.start({ edges: 2, protocols: ['edge-mqtt'] });
    all = await token({ publish: ['#'], subscribe: ['#'] });
  });
  after(async () => {
    for (const connection of open) connection.cut();
    await fleet?.stop();
  });

  async function enter(address: string, entry: Omit<Entry, 'token'>): Promise<[RawConnection, boolean]> {
    const connection = new RawConnection(address);
    open.push(connection);
    connection.send(connectPacket({ ...entry, token: all }) as IConnectPacket);
    const { reasonCode, sessionPresent } = await connection.first('connack');
    assert.equal(reasonCode, 0);
    return [connection, sessionPresent];
  }

  /** The pod that the first of two connections is at dies; a new one takes its place. */
  async function killFirst(): Promise<void> {
    await fleet.end(fleet.edgesOf('edge-mqtt'), 'SIGKILL');
    await fleet.startEdge('edge-mqtt');
  }

  async function publish(topic: string, payload: string, qos: 1 | 2): Promise<void> {
    const [connection] = await enter(pods().at(-1) as string, { clientId: '', clean: true, expiry: 0 });
    connection.send({ cmd: 'publish', topic, payload, qos, dup: false, retain: false, messageId: 1 });
    await connection.first(qos === 1 ? 'puback' : 'pubrec', patienceMs);
    connection.cut();
  }

  const publishes = ({ packets }: RawConnection): IPublishPacket[] =>
    packets.filter((packet) => packet.cmd === 'publish');

  const answered = (packets: readonly Packet[]): string[] =>
    packets.filter(({ cmd }) => cmd === 'publish' || cmd === 'pubrel').map(told);

  test('what was sent comes again in its order: PUBLISH with DUP, or PUBREL alone; what was not comes behind', async () => {
    const entry = { clientId: 'subscriber', receiveMaximum: 5 };
    const [first, known] = await enter(pods()[0] as string, entry);
    assert.equal(known, false);
    const subscriptions = [{ topic: 'resume/#', qos: 2 as const, nl: false, rap: false, rh: 0 }];
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    await first.first('suback');
    for (const [payload, qos] of [
      ['a', 2],
      ['b', 1],
      ['c', 2],
      ['d', 1],
      ['e', 2],
      ['f', 1],
      ['g', 2],
    ] as const)
      await publish('resume/x', payload, qos);
    await until(() => publishes(first).length === 5, 'as many as the Receive Maximum allows', patienceMs);
    const [a, b, c, d, e] = publishes(first) as [
      IPublishPacket,
      IPublishPacket,
      IPublishPacket,
      IPublishPacket,
      IPublishPacket,
    ];
    assert.deepEqual(
      [a, b, c, d, e].map(({ payload, dup }) => `${payload} ${dup}`),
      ['a', 'b', 'c', 'd', 'e'].map((one) => `${one} false`),
    );
    // The client answers the first of QoS 2; PUBREL says that this is on record.
    first.send({ cmd: 'pubrec', messageId: a.messageId, reasonCode: 0 } as Packet);
    await first.first('pubrel', patienceMs);
    await killFirst();
    await until(() => first.closed, 'the connection to end', patienceMs);
    const [second, present] = await enter(pods()[0] as string, entry);
    assert.equal(present, true);
    const owed = [
      `PUBREL ${a.messageId}`,
      ...[b, c, d, e].map(
        ({ messageId, payload, qos }) => `PUBLISH ${messageId} ${payload} QoS ${qos} DUP 1`,
      ),
    ];
    await until(() => answered(second.packets).length >= 5, 'what was sent before', patienceMs);
    // The standard orders PUBLISH among themselves, and PUBREL ([MQTT-4.6.0-1], [MQTT-4.6.0-4]).
    assert.deepEqual(answered(second.packets).toSorted(byKind), owed);
    second.onPacket = (packet) => {
      const { messageId } = packet;
      if (packet.cmd === 'publish')
        second.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0 } as Packet);
      if (packet.cmd === 'pubrel') second.send({ cmd: 'pubcomp', messageId, reasonCode: 0 } as Packet);
    };
    second.send({ cmd: 'pubcomp', messageId: a.messageId, reasonCode: 0 } as Packet);
    for (const { messageId, qos } of [b, c, d, e])
      second.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0 } as Packet);
    await until(() => publishes(second).length >= 6, 'what the window held back', patienceMs);
    const rest = publishes(second).slice(4);
    assert.deepEqual(
      rest.map(({ payload, dup }) => `${payload} ${dup}`),
      ['f false', 'g false'],
    );
    await publish('resume/x', 'h', 1);
    await until(
      () => publishes(second).some(({ payload }) => payload.toString() === 'h'),
      'the last',
      patienceMs,
    );
    assert.equal(publishes(second).length, 7, 'nothing comes once more');
  });

  test('a QoS 2 publication is in the log once, wherever the pod died between its packets', async () => {
    const entry = { clientId: 'publisher' };
    const [watcher] = await enter(pods().at(-1) as string, { clientId: 'watcher', clean: true, expiry: 0 });
    const subscriptions = [{ topic: 'once/#', qos: 1 as const, nl: false, rap: false, rh: 0 }];
    watcher.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    await watcher.first('suback');
    const packet = (messageId: number, dup: boolean): Packet => ({
      ...{
        cmd: 'publish',
        topic: 'once/x',
        payload: `by ${messageId}`,
        qos: 2,
        dup,
        retain: false,
        messageId,
      },
    });
    const [first] = await enter(pods()[0] as string, entry);
    first.send(packet(7, false));
    await first.first('pubrec', patienceMs);
    first.send(packet(8, false)); // killed before or after it is in the log
    await killFirst();
    // The watcher's pod is the older one by now.
    const [second, present] = await enter(pods()[0] as string, entry);
    assert.equal(present, true);
    const acks = (kind: Packet['cmd']) =>
      second.packets.filter(({ cmd }) => cmd === kind).map((ack) => ack.messageId);
    second.send(packet(7, true), packet(8, true));
    await until(() => acks('pubrec').length === 2, 'both PUBREC', patienceMs);
    second.send(...[7, 8].map((messageId) => ({ cmd: 'pubrel', messageId, reasonCode: 0 }) as Packet));
    await until(() => acks('pubcomp').length === 2, 'both PUBCOMP', patienceMs);
    // The packet identifier is free: what it names now is another publication.
    second.send({ ...packet(7, false), payload: 'by 7 again' } as Packet);
    const payloads = () => publishes(watcher).map(({ payload }) => payload.toString());
    await until(() => payloads().includes('by 7 again'), 'the last', patienceMs);
    assert.deepEqual(payloads().toSorted(), ['by 7', 'by 7 again', 'by 8']);
  });
});
