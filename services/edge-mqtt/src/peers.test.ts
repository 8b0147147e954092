import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { bytes } from './codec/testing.ts';
import { type Connect, type Publish, reasons } from './codec.ts';
import { ack, connectOf, publishOf, subscribeOf } from './session/testing.ts';
import { RawMqtt, startEdge, token } from './testing-edge.ts';

// Where the MQTT brokers that exist for Node fail (docs/adr/0031): one test for each failure of aedes that concerns one
// process, by packets on a socket alone, so that whatever listens can be held to it. aedes 1.2.0 fails the first; 2.0.0-beta.1
// all others, CONNACK before what is resumed only with Redis. What mqtt-packet takes and must not is in
// codec/decoder.test.ts (every rule, with packets that break it) and codec/oracle.test.ts (beside mqtt-packet). The clauses
// around each of these are in session/*.test.ts and enhanced-auth.test.ts.

const edge = await startEdge({ after });

let made = 0;
/** A client with a name of its own, let in. */
const open = (over: Partial<Connect> = {}): Promise<RawMqtt> =>
  RawMqtt.open(edge, { clientId: `peer${made++}`, ...over });

async function subscribed(filters: readonly string[], over: Partial<Connect> = {}): Promise<RawMqtt> {
  const client = await open(over);
  client.send(subscribeOf(60_000, filters));
  await client.has('suback');
  return client;
}

/** Publishes with QoS 1, one after the other, by a client of its own. */
async function publish(topic: string, ...texts: readonly string[]): Promise<void> {
  const client = await open();
  for (const [index, text] of texts.entries()) {
    client.send(publishOf(topic, text, { qos: 1, packetId: index + 1 }));
    await client.has('puback', index + 1);
  }
  client.socket.destroy();
}

/** What came, once it is as many; and that nothing else comes before an answer that is asked for now. */
async function texts(client: RawMqtt, count: number): Promise<string[]> {
  await client.has('publish', count);
  const pings = client.of('pingresp').length;
  client.send({ type: 'pingreq' });
  await client.has('pingresp', pings + 1);
  return client.of('publish').map(({ payload }) => payload.toString());
}

async function leave(client: RawMqtt): Promise<void> {
  client.send({ type: 'disconnect', reason: 0, properties: {} });
  await client.end();
}

const acknowledge = (client: RawMqtt, { packetId }: Publish): void =>
  client.send(ack('puback', packetId as number));

suite('where brokers for Node fail', () => {
  test('a CONNECT of MQTT 5 is accepted', async () => {
    const client = await open();
    assert.equal(client.of('connack')[0]?.reason, reasons.success);
    await leave(client);
  });

  test('a shared subscription gives each publication to one of its clients', async () => {
    const members = await Promise.all([1, 2].map(() => subscribed(['$share/group/shared:1'])));
    for (const member of members) assert.deepEqual(member.of('suback')[0]?.reasons, [1]);
    const sent = Array.from({ length: 10 }, (_, i) => `x${i}`);
    await publish('shared', ...sent);
    const count = () => members.reduce((sum, member) => sum + member.of('publish').length, 0);
    await until(() => count() >= sent.length, 'all that was published');
    const came = (await Promise.all(members.map((member) => texts(member, 1)))).flat();
    assert.deepEqual(came.toSorted(), sent);
    for (const member of members) member.socket.destroy();
  });

  test('topic aliases to a client that takes them', async () => {
    const client = await subscribed(['aliased/topic:1'], { properties: { topicAliasMaximum: 5 } });
    await publish('aliased/topic', '1', '2');
    assert.deepEqual(await texts(client, 2), ['1', '2']);
    assert.deepEqual(
      client.of('publish').map(({ topic, properties }) => [topic, properties.topicAlias]),
      [
        ['aliased/topic', 1],
        [undefined, 1],
      ],
    );
    client.socket.destroy();
  });

  test('the Receive Maximum of a client is kept [MQTT-3.3.4-9]', async () => {
    const client = await subscribed(['window:1'], { properties: { receiveMaximum: 2 } });
    await publish('window', '1', '2', '3');
    assert.deepEqual(await texts(client, 2), ['1', '2']);
    acknowledge(client, client.of('publish')[0] as Publish);
    assert.deepEqual(await texts(client, 3), ['1', '2', '3']);
    client.socket.destroy();
  });

  test('the Maximum Packet Size of a client is kept [MQTT-3.1.2-24]', async () => {
    const client = await subscribed(['size:1'], { properties: { maximumPacketSize: 100 } });
    await publish('size', 'x'.repeat(100), 'short');
    assert.deepEqual(await texts(client, 1), ['short']);
    client.socket.destroy();
  });

  test('every subscription identifier that matches is told [MQTT-3.3.4-4]', async () => {
    const client = await open();
    client.send(subscribeOf(1, ['ids/#:1'], {}, { subscriptionIdentifier: 1 }));
    client.send(subscribeOf(2, ['ids/+:1'], {}, { subscriptionIdentifier: 2 }));
    await client.has('suback', 2);
    await publish('ids/a', 'x');
    await texts(client, 1);
    assert.deepEqual(client.of('publish')[0]?.properties.subscriptionIdentifiers?.toSorted(), [1, 2]);
    client.socket.destroy();
  });

  test('AUTH: a client is let in by an exchange, and once more [MQTT-4.12.1-1]', async () => {
    const authenticationMethod = 'OAUTHBEARER';
    const authenticationData = Buffer.from(`n,,\u0001auth=Bearer ${token()}\u0001\u0001`);
    const client = await open({ properties: { authenticationMethod, authenticationData } });
    assert.equal(client.of('connack')[0]?.properties.authenticationMethod, authenticationMethod);
    client.send({ type: 'auth', reason: 0x19, properties: { authenticationMethod, authenticationData } });
    const [answer] = await client.has('auth');
    assert.deepEqual([answer?.reason, answer?.properties.authenticationMethod], [0, authenticationMethod]);
    client.socket.destroy();
  });

  test('what is queued is not lost where a session is resumed that is to end with this connection', async () => {
    const clientId = 'queued';
    const properties = { sessionExpiryInterval: 100 };
    await leave(await subscribed(['queued:1'], { clientId, cleanStart: false, properties }));
    await publish('queued', '1', '2');
    const client = await open({ clientId, cleanStart: false, properties: { sessionExpiryInterval: 0 } });
    assert.equal(client.of('connack')[0]?.sessionPresent, true);
    assert.deepEqual(await texts(client, 2), ['1', '2']);
    client.socket.destroy();
  });

  test('no packet of one client ends the process: it ends its own connection', async () => {
    const bystander = await subscribed(['bystander:1']);
    for (const [name, packet, reason] of [
      // A session expiry that stands twice.
      ['connack', "10 18 0004 'MQTT' 05 02 0000 0a 1100000001 1100000002 0001 'c'", reasons.protocolError],
      // A response topic of no character, one that is U+0000, and one that is not there.
      ['disconnect', "30 08 0001 'a' 03 080000 'x'", reasons.protocolError],
      ['disconnect', "30 09 0001 'a' 04 08000100 'x'", reasons.malformedPacket],
      ['disconnect', "30 06 0001 'a' 01 08 'x'", reasons.malformedPacket],
    ] as const) {
      const client = name === 'connack' ? new RawMqtt(edge) : await open();
      client.socket.write(bytes(packet));
      await client.end();
      assert.equal(client.of(name)[0]?.reason, reason, packet);
    }
    await publish('bystander', 'served');
    assert.deepEqual(await texts(bystander, 1), ['served']);
    bystander.socket.destroy();
  });

  test('CONNACK is said before anything that is resumed [MQTT-3.2.0-1]', async () => {
    const kept = { clientId: 'first', cleanStart: false, properties: { sessionExpiryInterval: 100 } };
    const one = await subscribed(['first:1'], kept);
    await publish('first', 'sent');
    await texts(one, 1);
    one.socket.destroy();
    await one.end();
    await publish('first', 'queued');
    const two = new RawMqtt(edge);
    two.send(connectOf({ password: Buffer.from(token()), ...kept }));
    await two.has('publish', 2);
    assert.deepEqual(
      two.received.map(({ type }) => type),
      ['connack', 'publish', 'publish'],
    );
    two.socket.destroy();
  });

  test('DUP is set on what is sent again, under its packet identifier [MQTT-3.3.1-1] [MQTT-4.4.0-1]', async () => {
    for (const version of [4, 5] as const) {
      const properties = version === 5 ? { sessionExpiryInterval: 100 } : {};
      const kept = { clientId: `dup${version}`, version, cleanStart: false, userName: 'u', properties };
      const one = await subscribed([`dup/${version}:1`], kept);
      await publish(`dup/${version}`, 'x');
      await texts(one, 1);
      one.socket.destroy();
      await one.end();
      const two = await open(kept);
      assert.deepEqual(await texts(two, 1), ['x']);
      const sent = [one, two].map((client) => client.of('publish')[0]);
      assert.deepEqual(
        sent.map((packet) => [packet?.dup, packet?.packetId]),
        [
          [false, sent[0]?.packetId],
          [true, sent[0]?.packetId],
        ],
      );
      acknowledge(two, sent[1] as Publish);
      await leave(two);
    }
  });
});
