import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { migrate } from '@pushfleet/bus';
import {
  findMosquittoClients,
  type MosquittoClients,
  type NatsCluster,
  type ServiceProcess,
  startNats,
  startService,
  until,
} from '@pushfleet/contract';
import { secret } from '@pushfleet/edge/testing';
import { connect, connectAsync, type IClientOptions } from 'mqtt';
import { token } from './testing-edge.ts';

const streams = {
  ...{ shards: 2, replicas: 1, maxAgeMs: 3_600_000 },
  ...{ maxBytes: 64 * 1_048_576, duplicateWindowMs: 120_000 },
};

suite('edge-mqtt as a process, on a real NATS', () => {
  let nats: NatsCluster;
  let mosquitto: MosquittoClients;
  let service: ServiceProcess;
  const children: ChildProcess[] = [];
  const port = (): string => service.addresses.mqtt?.split(':').at(-1) as string;

  before(async () => {
    mosquitto = await findMosquittoClients();
    nats = await startNats();
    await migrate({ servers: nats.url, ...streams });
    service = await startService('edge-mqtt', {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_DRAIN_SECONDS: '1',
    });
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await service?.kill('SIGKILL');
    await nats?.stop();
  });

  /** One of Mosquitto's clients, and what it prints. */
  function run(program: string, version: string, args: readonly string[], claims: object = {}) {
    const common = ['-h', '127.0.0.1', '-p', port(), '-V', version, '-u', 'token', '-P', token(claims)];
    const child = spawn(program, [...common, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const printed = { text: '', ended: once(child, 'close').then(([code]) => code as number) };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed.text += text;
      });
    }
    return printed;
  }

  for (const version of ['5', 'mqttv311', 'mqttv31']) {
    test(`mosquitto_pub and mosquitto_sub, ${version}: every QoS, retained, in order`, async () => {
      const root = `mosquitto/${version}`;
      const publish = (args: readonly string[]) => run(mosquitto.pub, version, args).ended;
      assert.equal(await publish(['-t', `${root}/kept`, '-m', 'old', '-q', '1', '-r']), 0);
      const options = ['-t', `${root}/#`, '-q', '2', '-C', '4', '-d', '-F', '=%t %q %r %p'];
      const listener = run(mosquitto.sub, version, options);
      await until(() => listener.text.includes(`=${root}/kept 1 1 old`), 'the retained publication');
      for (const qos of ['0', '1', '2']) {
        assert.equal(await publish(['-t', `${root}/${qos}`, '-m', `q${qos}`, '-q', qos]), 0);
      }
      assert.equal(await listener.ended, 0, listener.text);
      const lines = listener.text.split('\n').filter((line) => line.startsWith('='));
      const live = ['0', '1', '2'].map((qos) => `=${root}/${qos} ${qos} 0 q${qos}`);
      assert.deepEqual(lines, [`=${root}/kept 1 1 old`, ...live]);
    });
  }

  test('mosquitto_pub is told what its token does not allow', async () => {
    const claims = { pushfleet: { publish: ['mine/#'] } };
    const refused = run(mosquitto.pub, '5', ['-t', 'other', '-m', 'x', '-q', '1', '-d'], claims);
    await refused.ended;
    assert.match(refused.text, /RC:135|Not authorized/i);
    const nobody = run(mosquitto.pub, '5', ['-t', 'a', '-m', 'x'], { exp: 1 });
    assert.notEqual(await nobody.ended, 0);
  });

  test('MQTT.js: a session goes on with what was published meanwhile, on two shards', async () => {
    const options: IClientOptions = {
      ...{ protocolVersion: 5, username: 'token', password: token(), clientId: 'kept', clean: false },
      ...{ reconnectPeriod: 10, properties: { sessionExpiryInterval: 60 } },
    };
    const url = `mqtt://127.0.0.1:${port()}`;
    const one = await connectAsync(url, options);
    await one.subscribeAsync('away/#', { qos: 2 });
    await one.endAsync();
    const publisher = await connectAsync(url, { ...options, clientId: 'publisher', clean: true });
    const sent = Array.from({ length: 200 }, (_, i) => i);
    await Promise.all(sent.map((i) => publisher.publishAsync(`away/${i % 7}`, String(i), { qos: 2 })));
    const two = connect(url, options);
    const came: number[] = [];
    two.on('message', (_, payload) => came.push(Number(payload.toString())));
    await until(() => came.length >= sent.length, 'all that was published');
    assert.deepEqual(
      came.toSorted((a, b) => a - b),
      sent,
    );
    await Promise.all([two.endAsync(), publisher.endAsync()]);
  });

  test('SIGTERM: clients are asked to go, and it ends with 0', async () => {
    const url = `mqtt://127.0.0.1:${port()}`;
    const options = { protocolVersion: 5, password: token(), username: 'u', reconnectPeriod: 0 } as const;
    const client = await connectAsync(url, options);
    let reason: number | undefined;
    client.on('disconnect', ({ reasonCode }) => {
      reason = reasonCode;
    });
    assert.equal(await service.kill('SIGTERM', 20_000), 0);
    await until(() => reason !== undefined, 'the last word');
    assert.equal(reason, 0x8b);
    assert.doesNotMatch(service.logs(), /"level":"error"/);
  });
});
