import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { findMosquittoClients, findPahoPython, until } from '@pushfleet/contract';
import { CloudEvent, MQTT, type MQTTMessage } from 'cloudevents';
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { Fleet, token } from './fleet.ts';
import { bearer, publishClient, type Receipt } from './grpc.ts';
import { type MqttProgram, MqttPrograms } from './mqtt-programs.ts';
import { openSse, type Stream } from './stream.ts';
import { behaviours, Receivers } from './webhook-receivers.ts';
import { HookManager, webhookEnv } from './webhooks.ts';

/** What everybody is given of one publication, and what every publisher says of it. */
interface Seen {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly data: string;
}

const root = 'all';
const patienceMs = 20_000;

suite('one publication on MQTT, server-sent events and a webhook', () => {
  let fleet: Fleet;
  let receivers: Receivers;
  let programs: MqttPrograms;
  let all: string;
  let sse: Stream;
  let client: MqttClient;
  let mosquitto: MqttProgram;
  let paho: MqttProgram;
  const packets: IPublishPacket[] = [];

  before(async () => {
    const [clients, python] = await Promise.all([findMosquittoClients(), findPahoPython()]);
    fleet = await Fleet.start({ protocols: ['edge-sse', 'edge-mqtt'], workers: 1, env: webhookEnv });
    receivers = await Receivers.open();
    const address = fleet.door('edge-mqtt').address;
    programs = new MqttPrograms(clients, python, address);
    all = await token({ publish: ['#'], subscribe: ['#'], manage: true });
    const url = receivers.add('hook', behaviours.well);
    await new HookManager(fleet, all).create({ filter: `${root}/#`, url, handshake: 'none' });
    sse = await openSse(fleet.sse.address, `${root}/#`, all, '&format=cloudevents');
    client = await connectAsync(`mqtt://${address}`, {
      ...{ protocolVersion: 5, username: 'token', password: all, reconnectPeriod: 0 },
      properties: { userProperties: { cloudevents: 'binary' } },
    });
    client.on('message', (_topic, _payload, packet) => packets.push(packet));
    await client.subscribeAsync(`${root}/#`, { qos: 2 });
    // It says nothing before the first message.
    await client.publishAsync('ready', 'go', { qos: 1, retain: true });
    mosquitto = programs.mosquittoSub(all, 'ready', `${root}/#`);
    paho = programs.paho(all, `${root}/#`);
    await until(() => mosquitto.text.startsWith('ready|'), 'mosquitto_sub to be subscribed', patienceMs);
    await until(() => /subscribed/.test(paho.text), 'Paho to be subscribed', patienceMs);
  });
  after(async () => {
    await client?.endAsync(true);
    sse?.close();
    await programs?.stop();
    receivers?.close();
    await fleet?.stop();
  });

  /** What each of the receivers has, in its order of arrival. */
  const views: Readonly<Record<string, () => readonly Seen[]>> = {
    'server-sent events': () =>
      [...sse.text().matchAll(/^data: (\{.*"specversion".*)$/gm)].map(([, json = '']) =>
        seenOf(JSON.parse(json)),
      ),
    'a webhook': () =>
      receivers.of('hook').map(({ headers, body }) => ({
        ...{ id: String(headers['ce-id']), source: String(headers['ce-source']) },
        ...{ type: String(headers['ce-type']), data: body },
      })),
    'MQTT.js, read by the SDK of CloudEvents': () => packets.map((packet) => seenOf(eventOf(packet))),
    mosquitto_sub: () => mosquitto.lines.filter((line) => line.startsWith(root)).map(seenByMosquitto),
    'Paho for Python': () =>
      paho.lines
        .map((line) => JSON.parse(line) as { event?: Omit<Seen, 'data'>; data: string })
        .flatMap(({ event, data }) => (event === undefined ? [] : [seenOf({ ...event, data })])),
  };

  /** Everybody has it, once, and what one of them has of it the others have. */
  async function everybodyHas(data: string): Promise<Seen> {
    const seen: Seen[] = [];
    for (const [name, view] of Object.entries(views)) {
      const mine = (): Seen[] => view().filter((one) => one.data === data);
      await until(() => mine().length > 0, `${data} to come to ${name}`, patienceMs);
      const [one, ...more] = mine();
      assert.deepEqual(more, [], `${name} has ${data} once`);
      seen.push(one as Seen);
    }
    for (const one of seen) assert.deepEqual(one, seen[0]);
    return seen[0] as Seen;
  }

  /** Of all that came so far. */
  const counts = (): number[] => Object.values(views).map((view) => view().length);

  const event = (by: string) => ({ id: `by-${by}`, source: `/${by}`, type: `made.by.${by}` });

  test('by gRPC', async () => {
    const draft = {
      ...{ ...event('grpc'), topic: `${root}/grpc`, contentType: 'text/plain', payload: Buffer.from('1') },
    };
    const grpc = publishClient(fleet.grpc.address);
    const publish = (): Promise<Receipt> =>
      new Promise((resolve, reject) => {
        grpc.publish({ draft }, bearer(all), (error, receipt) => (error ? reject(error) : resolve(receipt)));
      });
    assert.equal((await publish()).receipt.duplicate, false);
    assert.deepEqual(await everybodyHas('1'), { ...event('grpc'), data: '1' });
    assert.equal((await publish()).receipt.duplicate, true);
    grpc.close();
  });

  test('by MQTT.js, made by the SDK of CloudEvents; again with its id, it is known', async () => {
    const made = MQTT.binary(
      new CloudEvent({ ...event('mqttjs'), datacontenttype: 'text/plain', data: '2' }),
    ) as MQTTMessage<string>;
    const userProperties = Object.fromEntries(
      Object.entries(made['User Properties'] ?? {}).filter(([, value]) => value !== undefined),
    ) as Record<string, string>;
    const properties = { contentType: 'text/plain', userProperties };
    for (const qos of [2, 1] as const) {
      await client.publishAsync(`${root}/mqttjs`, '2', { qos, properties });
    }
    assert.deepEqual(await everybodyHas('2'), { ...event('mqttjs'), data: '2' });
  });

  test('by mosquitto_pub', async () => {
    const pairs = { specversion: '1.0', ...event('mosquitto') };
    for (let i = 0; i < 2; i++) await programs.mosquittoPub(all, `${root}/mosquitto`, '3', pairs);
    assert.deepEqual(await everybodyHas('3'), { ...event('mosquitto'), data: '3' });
  });

  test('by Paho for Python', async () => {
    paho.say(JSON.stringify({ topic: `${root}/paho`, data: '4', event: event('paho') }));
    assert.deepEqual(await everybodyHas('4'), { ...event('paho'), data: '4' });
  });

  test('by mosquitto_pub without an id: the fleet gives one, and the source is whose token it is', async () => {
    await programs.mosquittoPub(all, `${root}/plain`, '5', {});
    const { id, source, type } = await everybodyHas('5');
    assert.match(id, /./);
    assert.deepEqual([source, type], ['tester', 'pushfleet.publication']);
    assert.deepEqual(new Set(counts()).size, 1, 'nobody was given a duplicate');
  });

  test('who may not follow or publish is told, in each client by its own means', async () => {
    const little = await token({ sub: 'little', publish: ['mine/#'], subscribe: ['mine/#'] });
    await assert.rejects(programs.mosquittoPub(little, `${root}/x`, 'x', {}), /RC:135|Not authorized/i);
    const refused = programs.paho('no token', 'mine/#');
    await until(() => refused.lines.some((line) => line.includes('"refused"')), 'the refusal', patienceMs);
    assert.match(refused.text, /"code": "unauthenticated"/);
    assert.match(refused.text, /Bad user name or password/);
  });
});

const seenOf = ({ id, source, type, data }: Seen): Seen => ({ id, source, type, data });

/** As a program with the SDK reads it. */
function eventOf({ payload, properties }: IPublishPacket): Seen {
  const message = {
    PUBLISH: { 'Content Type': properties?.contentType },
    body: payload.toString(),
    headers: { ...properties?.userProperties },
  };
  const read = MQTT.toEvent(message as unknown as MQTTMessage<string>);
  assert.ok(read instanceof CloudEvent && read.validate());
  return read as CloudEvent<string> & { readonly data: string };
}

function seenByMosquitto(line: string): Seen {
  const [, properties = '', data = ''] = line.split('|');
  const said = (name: string): string => new RegExp(`(?:^| )${name}:(\\S*)`).exec(properties)?.[1] ?? '';
  return { id: said('id'), source: said('source'), type: said('type'), data };
}
