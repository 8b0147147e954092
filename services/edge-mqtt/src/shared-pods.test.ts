import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Servers, type ServiceProcess, startServers, until } from '@pushfleet/contract';
import { secret } from '@pushfleet/edge/testing';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { token } from './testing-edge.ts';

/** A lost pod's work comes to others within 10 s, on a machine that is not busy. */
const patience = 90_000;

/** A member of the group `g`, and what it was given. */
class Member {
  readonly texts: string[] = [];
  readonly client: MqttClient;
  /** While set, nothing is acknowledged. */
  silent = false;

  private constructor(client: MqttClient) {
    this.client = client;
  }

  static async open(url: string, clientId: string, qos: 0 | 1 | 2, receiveMaximum = 10): Promise<Member> {
    const client = await connectAsync(url, optionsOf(clientId, receiveMaximum));
    const member = new Member(client);
    client.handleMessage = ({ payload }, done) => {
      member.texts.push(payload.toString());
      if (!member.silent) done();
    };
    client.on('error', () => {});
    const [granted] = await client.subscribeAsync(`$share/g/work/${qos}/#`, { qos });
    assert.equal(granted?.qos, qos);
    return member;
  }
}

const optionsOf = (clientId: string, receiveMaximum: number): IClientOptions => ({
  ...{ protocolVersion: 5, clientId, clean: false, reconnectPeriod: 0, connectTimeout: patience },
  ...{ username: 'token', password: token() },
  properties: { sessionExpiryInterval: 600, receiveMaximum },
});

suite('two pods share a group', { timeout: 600_000 }, () => {
  let servers: Servers;
  let pods: ServiceProcess[];
  let publisher: MqttClient;
  const members: Member[] = [];
  const urlOf = (pod: number): string => `mqtt://${pods[pod]?.addresses.mqtt}`;

  before(async () => {
    servers = await startServers({ secret, shards: 2 });
    const { addresses } = await servers.start('registry');
    const env = { PUSHFLEET_REGISTRY_URL: `http://${addresses.grpc}`, PUSHFLEET_DRAIN_SECONDS: '1' };
    pods = await Promise.all([servers.start('edge-mqtt', env), servers.start('edge-mqtt', env)]);
    publisher = await connectAsync(urlOf(0), { ...optionsOf('publisher', 100), clean: true });
  });
  after(async () => {
    await Promise.all([publisher, ...members.map(({ client }) => client)].map((one) => one?.endAsync(true)));
    await servers?.stop();
  });

  const open = async (...args: Parameters<typeof Member.open>): Promise<Member> => {
    const member = await Member.open(...args);
    members.push(member);
    return member;
  };
  const textsOf = (...some: Member[]): string[] => some.flatMap(({ texts }) => texts);
  const publish = async (qos: 0 | 1 | 2, from: number, to: number): Promise<string[]> => {
    const texts = Array.from({ length: to - from }, (_, i) => `${qos} ${from + i}`);
    await Promise.all(
      texts.map((text) => publisher.publishAsync(`work/${qos}/${text.at(-1)}`, text, { qos: 1 })),
    );
    return texts;
  };

  for (const qos of [0, 1, 2] as const) {
    test(`QoS ${qos}: each publication comes to one member, and both pods have some`, async () => {
      const ours = [
        await open(urlOf(0), `${qos} a`, qos),
        await open(urlOf(0), `${qos} b`, qos),
        await open(urlOf(1), `${qos} c`, qos),
      ];
      const sent = await publish(qos, 0, 300);
      await until(() => new Set(textsOf(...ours)).size >= sent.length, 'all of it', patience);
      assert.deepEqual(textsOf(...ours).toSorted(), sent.toSorted());
      for (const { texts } of ours) assert.ok(texts.length > 20, `one had ${texts.length}`);
    });
  }

  test('who has no credit is given nothing, and what it does not acknowledge goes to a pod that does when it is gone', async () => {
    const [a, b, c] = members.filter(({ client }) => client.options.clientId?.startsWith('1 ')) as [
      Member,
      Member,
      Member,
    ];
    const before = [a, b, c].map(({ texts }) => texts.length);
    a.silent = true;
    b.silent = true;
    const sent = await publish(1, 300, 400);
    const left = () => sent.filter((text) => !c.texts.includes(text));
    await until(() => left().length <= 20, 'all but two windows', patience);
    const held = [a, b].map(({ texts }, i) => texts.length - (before[i] as number));
    // MQTT.js hands its messages over one by one: what is silent has the first of its window.
    assert.ok(
      held.every((count) => count <= 10),
      `they hold ${held}`,
    );
    a.client.stream.destroy();
    b.client.stream.destroy();
    await until(() => left().length === 0, 'what they held', patience);
  });

  test('a pod that is killed loses nothing, and nothing of it is given twice that was acknowledged', async () => {
    const [d, c] = [
      await open(urlOf(0), '1 d', 1),
      members.find(({ client }) => client.options.clientId === '1 c'),
    ] as [Member, Member];
    const other = await connectAsync(urlOf(1), { ...optionsOf('other', 100), clean: true });
    await publisher.endAsync(true);
    publisher = other;
    const first = await publish(1, 400, 500);
    await until(() => first.every((text) => textsOf(c, d).includes(text)), 'all of it', patience);
    // What its pod has read behind its acknowledgements, and had stored: they have counted by then.
    await d.client.publishAsync('apart', '', { qos: 1 });
    d.silent = true;
    const second = publish(1, 500, 700);
    const begun = d.texts.length;
    await until(() => d.texts.length > begun, 'something at the pod that is killed', patience);
    await pods[0]?.kill('SIGKILL');
    const sent = await second;
    await until(() => sent.every((text) => c.texts.includes(text)), 'what it had', patience);
    assert.equal(new Set(c.texts).size, c.texts.length, 'nothing came twice');
    const done = first.filter((text) => d.texts.includes(text));
    assert.deepEqual(
      done.filter((text) => c.texts.includes(text)),
      [],
    );
  });
});
