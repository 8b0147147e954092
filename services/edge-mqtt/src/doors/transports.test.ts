import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { migrate } from '@pushfleet/bus';
import {
  Authority,
  findMosquittoClients,
  type MosquittoClients,
  type NatsCluster,
  type ServiceProcess,
  startNats,
  startService,
  temporaryFolder,
  until,
  withoutOpenssl,
} from '@pushfleet/contract';
import { secret } from '@pushfleet/edge/testing';
import { connect, connectAsync, type IClientOptions } from 'mqtt';
import { token } from '../testing-edge.ts';
import { header1, header2 } from './testing-proxy.ts';

const streams = {
  ...{ shards: 1, replicas: 1, maxAgeMs: 3_600_000 },
  ...{ maxBytes: 64 * 1_048_576, duplicateWindowMs: 120_000 },
};

suite('every way into the process, by clients that others wrote', { skip: withoutOpenssl }, () => {
  const authority = new Authority();
  const folder = temporaryFolder('mqtt-transports');
  let nats: NatsCluster;
  let mosquitto: MosquittoClients;
  let service: ServiceProcess;
  let behindProxy: ServiceProcess;
  const children: ChildProcess[] = [];
  const closers: (() => void)[] = [];

  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const server = authority.issue('DNS:localhost,IP:127.0.0.1');
  const device = authority.issue('URI:urn:device:7', { subject: '/OU=plant/CN=sensor-7' });
  const [ca, cert, key] = [file('ca', authority.cert), file('cert', device.cert), file('key', device.key)];
  const grants = { publish: ['devices/{sub}/#'], subscribe: ['devices/{sub}/#'] };
  const tls = {
    PUSHFLEET_EDGE_MQTT_TLS_CERT_FILE: file('server.crt', server.cert),
    PUSHFLEET_EDGE_MQTT_TLS_KEY_FILE: file('server.key', server.key),
    PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CA_FILE: ca,
    PUSHFLEET_EDGE_MQTT_TLS_CLIENT_GRANTS_FILE: file('grants', JSON.stringify([{ subject: 'CN', grants }])),
  };

  before(async () => {
    mosquitto = await findMosquittoClients();
    nats = await startNats();
    await migrate({ servers: nats.url, ...streams });
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_DRAIN_SECONDS: '1',
      PUSHFLEET_EDGE_MQTT_SERVER_REFERENCE: 'other.example:8883',
      ...tls,
    };
    const proxied = { PUSHFLEET_EDGE_MQTT_PROXY_PROTOCOL_FROM: '127.0.0.0/8' };
    [service, behindProxy] = await Promise.all([
      startService('edge-mqtt', env),
      startService('edge-mqtt', { ...env, ...proxied, PUSHFLEET_LOG_LEVEL: 'debug' }),
    ]);
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const close of closers) close();
    await Promise.all([service?.kill('SIGKILL'), behindProxy?.kill('SIGKILL')]);
    await nats?.stop();
    authority.close();
  });

  const addressOf = (listener: string, of = service): string => of.addresses[listener] as string;
  const portOf = (listener: string, of = service): string =>
    addressOf(listener, of).split(':').at(-1) as string;

  /** One of Mosquitto's clients, and what it prints. */
  function run(program: string, port: string, args: readonly string[]) {
    const child = spawn(program, ['-h', '127.0.0.1', '-p', port, '-V', '5', ...args], { stdio: 'pipe' });
    children.push(child);
    const printed = { text: '', ended: once(child, 'close').then(([code]) => code as number) };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed.text += text;
      });
    }
    return printed;
  }

  /** A proxy on a free port: TLS for cleartext behind it, or a header in front of what it hands on. */
  async function proxy(to: string, o: { header?: Buffer; terminates?: boolean } = {}): Promise<string> {
    const [host, port] = to.split(':') as [string, string];
    const onSocket = (near: import('node:net').Socket): void => {
      const far = connectTcp(Number(port), host);
      if (o.header !== undefined) far.write(o.header);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => [near, far].map((one) => one.destroy()));
    };
    const listener = o.terminates ? createTlsServer({ ...server }, onSocket) : createServer(onSocket);
    closers.push(() => listener.close());
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return `127.0.0.1:${(listener.address() as { port: number }).port}`;
  }

  async function goesAround(url: string, options: IClientOptions = {}): Promise<void> {
    const client = await connectAsync(url, {
      ...{ protocolVersion: 5, password: token(), username: 'u', reconnectPeriod: 0, ca: authority.cert },
      ...options,
    });
    const came: string[] = [];
    client.on('message', (topic, payload) => came.push(`${topic} ${payload.length}`));
    const topic = `devices/sensor-7/${Math.random()}`;
    await client.subscribeAsync(topic, { qos: 2 });
    for (const qos of [0, 1, 2] as const) await client.publishAsync(topic, 'x'.repeat(50_000), { qos });
    await until(() => came.length === 3, 'all that was published');
    assert.deepEqual(came, Array(3).fill(`${topic} 50000`));
    await client.endAsync();
  }

  for (const protocolVersion of [4, 5] as const) {
    test(`MQTT.js, version ${protocolVersion}: TLS, WebSocket, WebSocket behind a proxy with TLS`, async () => {
      await goesAround(`mqtts://${addressOf('mqtts')}`, { protocolVersion });
      await goesAround(`ws://${addressOf('http')}/mqtt`, { protocolVersion });
      const front = await proxy(addressOf('http'), { terminates: true });
      await goesAround(`wss://${front}/mqtt`, { protocolVersion });
    });
  }

  test('MQTT.js with a certificate and no token', async () => {
    const own = { cert: device.cert, key: device.key };
    const client = connect(`mqtts://${addressOf('mqtts')}`, {
      ...{ protocolVersion: 5, ca: authority.cert, reconnectPeriod: 0, ...own },
    });
    await new Promise((resolve) => client.once('connect', resolve));
    await client.publishAsync('devices/sensor-7/a', 'x', { qos: 1 });
    await assert.rejects(client.publishAsync('devices/sensor-8/a', 'x', { qos: 1 }), /Not authorized/);
    await client.endAsync();
  });

  test('MQTT.js does not come in on another path, or by TLS whose authority it does not know', async () => {
    for (const url of [`ws://${addressOf('http')}/other`, `mqtts://${addressOf('mqtts')}`]) {
      const client = connect(url, { password: token(), username: 'u', reconnectPeriod: 0 });
      client.on('error', () => {});
      const came = await new Promise((resolve) => {
        client.once('connect', () => resolve('in'));
        client.once('close', () => resolve('not in'));
      });
      assert.equal(came, 'not in', url);
      client.end(true);
    }
  });

  test('mosquitto_pub and mosquitto_sub: --cafile, --cert, --key', async () => {
    const shown = ['--cafile', ca, '--cert', cert, '--key', key];
    const publish = (args: readonly string[]) =>
      run(mosquitto.pub, portOf('mqtts'), ['-q', '1', '-m', 'hi', ...args]);
    assert.equal(await publish([...shown, '-t', 'devices/sensor-7/kept', '-r']).ended, 0);
    const options = ['-t', 'devices/sensor-7/#', '-q', '1', '-C', '2', '-F', '=%t %p'];
    const listener = run(mosquitto.sub, portOf('mqtts'), [...shown, ...options]);
    await until(() => listener.text.includes('=devices/sensor-7/kept hi'), 'it listens');
    assert.equal(await publish([...shown, '-t', 'devices/sensor-7/x']).ended, 0);
    assert.equal(await listener.ended, 0, listener.text);
    assert.match(listener.text, /^=devices\/sensor-7\/x hi$/m);
    const refused = publish([...shown, '-t', 'devices/sensor-8/x', '-d']);
    await refused.ended;
    assert.match(refused.text, /RC:135|Not authorized/i);
    const withToken = ['--cafile', ca, '-u', 'u', '-P', token(), '-t', 'anything'];
    assert.equal(await publish(withToken).ended, 0);
    // A certificate of somebody, and the token of somebody else.
    assert.notEqual(await publish([...shown, '-u', 'u', '-P', token(), '-t', 'devices/sensor-7/x']).ended, 0);
    assert.notEqual(await publish(['--cafile', ca, '-t', 'devices/sensor-7/x']).ended, 0);
  });

  for (const [what, header] of [
    ['version 1', header1()],
    ['version 2', header2()],
  ] as const) {
    test(`behind a proxy that says whom it brings, ${what}: over TCP and TLS`, async () => {
      await goesAround(`mqtt://${await proxy(addressOf('mqtt', behindProxy), { header })}`);
      const port = (await proxy(addressOf('mqtts', behindProxy), { header })).split(':').at(-1) as string;
      const shown = ['--cafile', ca, '--cert', cert, '--key', key];
      const published = run(mosquitto.pub, port, [
        ...shown,
        '-t',
        'devices/sensor-7/x',
        '-m',
        'x',
        '-q',
        '1',
      ]);
      assert.equal(await published.ended, 0, published.text);
      // The client's, as the header says it.
      await until(() => /"transport":"tls","address":"192.0.2.7"/.test(behindProxy.logs()), 'the log has it');
    });
  }

  test('behind a proxy that says nothing nobody comes in', async () => {
    const port = portOf('mqtt', behindProxy);
    const refused = run(mosquitto.pub, port, ['-u', 'u', '-P', token(), '-t', 'a', '-m', 'x']);
    assert.notEqual(await refused.ended, 0);
  });

  test('SIGTERM: clients on every transport are told where to go', async () => {
    const options = {
      protocolVersion: 5,
      password: token(),
      username: 'u',
      reconnectPeriod: 0,
      ca: authority.cert,
    } as const;
    const urls = [
      `mqtt://${addressOf('mqtt')}`,
      `mqtts://${addressOf('mqtts')}`,
      `ws://${addressOf('http')}/mqtt`,
    ];
    const told: unknown[] = [];
    for (const url of urls) {
      const client = await connectAsync(url, options);
      client.on('disconnect', ({ reasonCode, properties }) =>
        told.push([reasonCode, properties?.serverReference]),
      );
    }
    assert.equal(await service.kill('SIGTERM', 20_000), 0);
    await until(() => told.length === 3, 'the last words');
    assert.deepEqual(told, Array(3).fill([0x9c, 'other.example:8883']));
    for (const { logs } of [service, behindProxy]) assert.doesNotMatch(logs(), /"level":"(error|warn)"/);
  });
});
