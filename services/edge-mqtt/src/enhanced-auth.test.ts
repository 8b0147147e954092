import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { connect } from 'mqtt';
import { generate } from 'mqtt-packet';
import { ScramClient, scramUser } from './auth/testing.ts';
import { type ClientPacket, type Connect, reasons } from './codec.ts';
import { ack, connectOf, publishOf, subscribeOf } from './session/testing.ts';
import { RawMqtt, startEdge, token } from './testing-edge.ts';

// Section 4.12 on a socket; what follows on an open connection without one is in session-auth.test.ts.
const scope = { after };
const folder = mkdtempSync(join(tmpdir(), 'pushfleet-mqtt-'));
after(() => rmSync(folder, { recursive: true }));
const declare = (name: string, ...users: readonly object[]): string => {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(users));
  return path;
};
const [meter, other] = [
  scramUser('meter', 'pencil', { grants: { publish: ['meters/{sub}'], subscribe: ['meters/#'] } }),
  scramUser('other', 'pencil'),
];
const users = declare('users.json', meter, other);
const edge = await startEdge(scope, {
  PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users,
  PUSHFLEET_EDGE_MQTT_AUTH_FAILURES: '1000',
});

const scram = 'SCRAM-SHA-256';
const auth = (data: Buffer, reason: 0x18 | 0x19 = 0x18, method: string = scram): ClientPacket => ({
  ...{ type: 'auth', reason },
  properties: { authenticationMethod: method, authenticationData: data },
});
const bearerOf = (claims: object = {}): Buffer =>
  Buffer.from(`n,,\u0001auth=Bearer ${token(claims)}\u0001\u0001`);

/** A CONNECT by a method. */
const by = (
  authenticationMethod: string,
  authenticationData?: Buffer,
  over: Partial<Connect> = {},
  properties: Connect['properties'] = {},
): Connect => connectOf({ ...over, properties: { ...properties, authenticationMethod, authenticationData } });

/** One that has said its first message and heard the answer. */
async function challenged(
  on: { port: number } = edge,
  user = 'meter',
  password = 'pencil',
  over: Partial<Connect> = {},
): Promise<{ client: RawMqtt; proof: Buffer; sasl: ScramClient }> {
  const client = new RawMqtt(on);
  const sasl = new ScramClient(user, password);
  client.send(by(scram, await sasl.next(undefined), over));
  const [challenge] = await client.has('auth');
  assert.ok(challenge, 'a challenge');
  const proof = await sasl.next(challenge.properties.authenticationData);
  return { client, sasl, proof };
}

/** What a client is told that is not let in: there is nothing else, and the connection ends. */
async function refusal(client: RawMqtt): Promise<{ reason: number; says: string | undefined }> {
  const last = (await client.end()).at(-1);
  assert.equal(last?.type, 'connack');
  const { reason, properties } = last as { reason: number; properties: { reasonString?: string } };
  return { reason, says: properties.reasonString };
}

suite('enhanced authentication', () => {
  test('SCRAM: AUTH 0x18 each way, CONNACK with the last data, all with the method [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]', async () => {
    const { client, proof, sasl } = await challenged();
    const [challenge] = client.of('auth');
    assert.deepEqual([challenge?.reason, challenge?.properties.authenticationMethod], [0x18, scram]);
    assert.equal(client.received.length, 1);
    client.send(auth(proof));
    const [connack] = await client.has('connack');
    assert.deepEqual([connack?.reason, connack?.properties.authenticationMethod], [0, scram]);
    await sasl.next(connack?.properties.authenticationData);
    assert.equal(sasl.done, true);
    client.send(publishOf('meters/meter', 'x', { qos: 1, packetId: 1 }));
    client.send(publishOf('meters/other', 'x', { qos: 1, packetId: 2 }));
    const acks = await client.has('puback', 2);
    assert.deepEqual(
      acks.map(({ reason }) => reason),
      [0, reasons.notAuthorized],
    );
    client.socket.destroy();
  });

  test('OAUTHBEARER: a token, and no AUTH at all; the password is not looked at', async () => {
    const client = new RawMqtt(edge);
    client.send(by('OAUTHBEARER', bearerOf({ sub: 'bea' }), { password: Buffer.from('wrong') }));
    const [connack] = await client.has('connack');
    assert.deepEqual(
      [connack?.reason, connack?.properties.authenticationMethod, connack?.properties.authenticationData],
      [0, 'OAUTHBEARER', undefined],
    );
    assert.equal(client.received.length, 1);
    client.socket.destroy();
  });

  test('what comes behind the CONNECT is the answer to the AUTH that follows', async () => {
    const client = new RawMqtt(edge);
    client.send(by(scram, Buffer.from('n,,n=meter,r=x')), auth(Buffer.from('c=biws,r=x,p=')));
    assert.equal((await refusal(client)).reason, reasons.notAuthorized);
    assert.equal(client.of('auth').length, 1);
  });

  test('a method that is not here: 0x8C and the end [MQTT-4.12.0-1]', async () => {
    const bare = await startEdge(scope);
    for (const [on, method] of [
      [edge, 'x'],
      [edge, 'SCRAM-SHA-1'],
      [edge, 'SCRAM-SHA-256-PLUS'],
      [edge, 'scram-sha-256'],
      // Nobody is declared who could log in so.
      [bare, scram],
    ] as const) {
      const client = new RawMqtt(on);
      client.send(by(method, Buffer.from('n,,n=meter,r=x'), { password: Buffer.from(token()) }));
      assert.equal((await refusal(client)).reason, reasons.badAuthenticationMethod, method);
    }
  });

  test('a wrong password and an unknown user are answered alike: 0x87 and the end [MQTT-4.12.0-4]', async () => {
    const answers: unknown[] = [];
    for (const [user, password] of [
      ['meter', 'Pencil'],
      ['nobody', 'pencil'],
    ] as const) {
      const { client, proof } = await challenged(edge, user, password);
      client.send(auth(proof));
      answers.push(await refusal(client));
      assert.deepEqual(
        client.received.map(({ type }) => type),
        ['auth', 'connack'],
      );
    }
    const says = 'The user name or the password is wrong.';
    assert.deepEqual(answers, [
      { reason: reasons.notAuthorized, says },
      { reason: reasons.notAuthorized, says },
    ]);
  });

  test('tokens that are not good, and what is none: 0x87, or 0x8A where it was revoked', async () => {
    edge.registry.revoke('mallory');
    for (const [data, reason] of [
      [bearerOf({ exp: 1 }), reasons.notAuthorized],
      [Buffer.from('n,,\u0001auth=Bearer x\u0001\u0001'), reasons.notAuthorized],
      [Buffer.from(token()), reasons.notAuthorized],
      [undefined, reasons.notAuthorized],
      [bearerOf({ sub: 'mallory' }), reasons.banned],
    ] as const) {
      const client = new RawMqtt(edge);
      client.send(by('OAUTHBEARER', data));
      assert.equal((await refusal(client)).reason, reason);
    }
  });

  test('a user of SCRAM is kept out by a revocation of its name', async () => {
    const revoking = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users });
    const { client, proof } = await challenged(revoking);
    client.send(auth(proof));
    await client.has('connack');
    revoking.registry.revoke('meter');
    await client.end();
    assert.equal(client.of('disconnect')[0]?.reason, reasons.notAuthorized);
    const again = await challenged(revoking);
    again.client.send(auth(again.proof));
    assert.equal((await refusal(again.client)).reason, reasons.banned);
  });

  test('the file of users is read again: who is no more there, or not so, is ended; the others stay', async () => {
    const path = declare('changing.json', meter, other);
    const changing = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: path });
    const open = async (user: string, password: string): Promise<RawMqtt> => {
      const { client, proof } = await challenged(changing, user, password, { clientId: user });
      client.send(auth(proof));
      await client.has('connack');
      return client;
    };
    const [one, two] = [await open('meter', 'pencil'), await open('other', 'pencil')];
    writeFileSync(path, 'nonsense');
    declare('changing.json', scramUser('third', 'pen'), other);
    await one.end();
    assert.equal(one.of('disconnect')[0]?.reason, reasons.notAuthorized);
    const three = await open('third', 'pen');
    assert.equal(three.of('connack')[0]?.reason, 0);
    assert.equal((await open('meter', 'pencil')).of('connack')[0]?.reason, reasons.notAuthorized);
    assert.deepEqual([two.ended, changing.edge.size], [false, 2]);
    for (const { socket } of [two, three]) socket.destroy();
  });

  test('the will of a user who is declared no more is not published', async () => {
    const path = declare('leaving.json', meter, other);
    const leaving = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: path });
    const watcher = await RawMqtt.open(leaving, { clientId: 'watcher' });
    watcher.send(subscribeOf(1, ['#:1']));
    await watcher.has('suback');
    const wills = ['meter', 'other'].map(async (user) => {
      const topic = user === 'meter' ? 'meters/meter' : 'others';
      const said = { payload: Buffer.from('gone'), qos: 1, retain: false, properties: {} } as const;
      const { client, proof } = await challenged(leaving, user, 'pencil', {
        clientId: user,
        will: { topic, ...said },
      });
      client.send(auth(proof));
      await client.has('connack');
      return client;
    });
    const [one, two] = (await Promise.all(wills)) as [RawMqtt, RawMqtt];
    declare('leaving.json', other);
    await one.end();
    two.socket.destroy();
    await watcher.has('publish');
    assert.deepEqual(
      watcher.of('publish').map(({ topic }) => topic),
      ['others'],
    );
    watcher.socket.destroy();
  });

  test('a wrong file of users keeps the edge from starting, with its name and no secret', async () => {
    const path = declare('wrong.json', { user: 'u', verifier: 'pencil', grants: {} });
    await assert.rejects(startEdge(scope, { PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: path }), (error: Error) => {
      assert.match(error.message, /SCRAM_USERS_FILE=".*wrong\.json": Entry 1 has a "verifier"/);
      return !error.message.includes('pencil');
    });
  });

  test('before CONNACK nothing but AUTH 0x18 of the same method, and DISCONNECT [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5]', async () => {
    for (const [packet, says] of [
      [(proof: Buffer) => auth(proof, 0x19), /MQTT-4\.12\.0-3/],
      [(proof: Buffer) => auth(proof, 0x18, 'OAUTHBEARER'), /MQTT-4\.12\.0-5/],
      [() => ({ type: 'auth', reason: 0x18, properties: {} }) as const, /3\.15\.2\.2\.2/],
      [() => subscribeOf(1, ['meters/#']), /MQTT-3\.1\.2-30/],
      [() => publishOf('meters/meter', 'x'), /MQTT-3\.1\.2-30/],
      [() => ({ type: 'pingreq' }) as const, /MQTT-3\.1\.2-30/],
      [() => ack('puback', 1), /MQTT-3\.1\.2-30/],
      [() => by(scram), /MQTT-3\.1\.0-2/],
    ] as const) {
      const { client, proof } = await challenged();
      client.send(packet(proof));
      const told = await refusal(client);
      assert.equal(told.reason, reasons.protocolError);
      assert.match(told.says ?? '', says);
    }
    const { client } = await challenged();
    client.send({ type: 'disconnect', reason: 0, properties: {} });
    assert.deepEqual(
      (await client.end()).map(({ type }) => type),
      ['auth'],
    );
  });

  test('the time for a CONNECT is that of the exchange, too', async () => {
    const hurried = await startEdge(scope, {
      PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '0.5',
      PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users,
    });
    const { client } = await challenged(hurried);
    assert.deepEqual(
      (await client.end()).map(({ type }) => type),
      ['auth'],
    );
    await until(() => hurried.edge.guests === 0, 'nobody is waited for');
  });

  test('a client that is lost within the exchange leaves nothing behind', async () => {
    const { client } = await challenged();
    client.socket.destroy();
    await until(() => edge.edge.guests === 0, 'nobody is waited for');
  });

  test('a drain ends the exchange', async () => {
    const draining = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users });
    const { client } = await challenged(draining);
    await draining.edge.drain(AbortSignal.timeout(5_000));
    assert.equal((await refusal(client)).reason, reasons.serverUnavailable);
  });

  test('a challenge has to fit into what the client takes: at it and below [MQTT-3.1.2-24]', async () => {
    const first = Buffer.from('n,,n=meter,r=x');
    const sized = async (maximumPacketSize: number): Promise<RawMqtt> => {
      const client = new RawMqtt(edge);
      client.send(by(scram, first, {}, { maximumPacketSize }));
      await until(() => client.received.length > 0, 'an answer');
      return client;
    };
    // Two bytes of the header, two of reason and property length, 16 of the method; r=x and 24 more, a salt of 24, 4096.
    const size = 2 + 2 + 16 + 3 + 'r=x'.length + 24 + ',s='.length + 24 + ',i=4096'.length;
    const fits = await sized(size);
    assert.equal(fits.of('auth').length, 1);
    fits.socket.destroy();
    const tight = await sized(size - 1);
    assert.equal((await refusal(tight)).reason, reasons.packetTooLarge);
    assert.equal(tight.of('auth').length, 0);
  });

  test('without a method: no AUTH, no method in CONNACK, and an AUTH ends it [MQTT-4.12.0-6] [MQTT-4.12.0-7]', async () => {
    const client = await RawMqtt.open(edge, { clientId: 'plain' });
    assert.equal(client.of('connack')[0]?.properties.authenticationMethod, undefined);
    client.send(auth(bearerOf(), 0x19, 'OAUTHBEARER'));
    await client.end();
    assert.equal(client.of('auth').length, 0);
    const [bye] = client.of('disconnect');
    assert.equal(bye?.reason, reasons.protocolError);
    assert.match(bye?.properties.reasonString ?? '', /MQTT-4\.12\.0-7/);
  });

  test('wrong proofs: at the most of a minute the right one is taken, above it nobody’s of this name', async () => {
    const strict = await startEdge(scope, {
      PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE: users,
      PUSHFLEET_EDGE_MQTT_AUTH_FAILURES: '2',
    });
    const attempt = async (user: string, password: string): Promise<number | undefined> => {
      const { client, proof } = await challenged(strict, user, password);
      client.send(auth(proof));
      const [connack] = await client.has('connack');
      client.socket.destroy();
      return connack?.reason;
    };
    assert.equal(await attempt('meter', 'wrong'), reasons.notAuthorized);
    assert.equal(await attempt('meter', 'pencil'), 0);
    assert.equal(await attempt('meter', 'wrong'), reasons.notAuthorized);
    assert.equal(await attempt('meter', 'pencil'), reasons.connectionRateExceeded);
    assert.equal(await attempt('other', 'pencil'), 0);
    for (const expected of [reasons.notAuthorized, reasons.notAuthorized, reasons.connectionRateExceeded]) {
      assert.equal(await attempt('nobody', 'pencil'), expected);
    }
  });
});

suite('MQTT.js', () => {
  test('logs in by SCRAM, and proves itself once more', async () => {
    let sasl = new ScramClient('meter', 'pencil');
    const client = connect(edge.url, {
      ...{ protocolVersion: 5, reconnectPeriod: 0, manualConnect: true },
      properties: { authenticationMethod: scram, authenticationData: await sasl.next(undefined) },
    });
    client.handleAuth = (packet, answer) => {
      const { reasonCode, properties } = packet as {
        reasonCode: number;
        properties: { authenticationData: Buffer };
      };
      void sasl.next(properties.authenticationData).then((data) => {
        const next = { authenticationMethod: scram, authenticationData: data };
        answer(undefined, reasonCode === 0 ? undefined : { cmd: 'auth', reasonCode: 0x18, properties: next });
      }, answer);
    };
    const connected = new Promise<Buffer>((resolve, reject) => {
      client.once('error', reject);
      client.once('connect', ({ properties }) => resolve(properties?.authenticationData as Buffer));
    });
    client.connect();
    await sasl.next(await connected);
    assert.equal(sasl.done, true);
    await client.subscribeAsync('meters/meter');
    sasl = new ScramClient('meter', 'pencil');
    const properties = { authenticationMethod: scram, authenticationData: await sasl.next(undefined) };
    client.stream.write(generate({ cmd: 'auth', reasonCode: 0x19, properties }, { protocolVersion: 5 }));
    await until(() => sasl.done, 'the server has proved itself again');
    await client.publishAsync('meters/meter', 'x', { qos: 1 });
    await client.endAsync();
  });
});
