import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { Authority, type TestCertificate, temporaryFolder, until, withoutOpenssl } from '@pushfleet/contract';

import { readConfig } from '@pushfleet/runtime';
import { type Connect, reasons } from '../codec.ts';
import { fields } from '../config.ts';
import { Edge } from '../edge.ts';
import { connectOf, publishOf } from '../session/testing.ts';
import { RawMqtt, startEdge, type TestEdge, token } from '../testing-edge.ts';

const scope = { after };
const password = (claims: object = {}): Buffer => Buffer.from(token(claims));

suite('TLS', { skip: withoutOpenssl }, async () => {
  const authority = new Authority();
  const stranger = new Authority();
  after(() => {
    authority.close();
    stranger.close();
  });
  const server = authority.issue('DNS:localhost,IP:127.0.0.1');
  const device = authority.issue('URI:urn:device:7', { subject: '/OU=plant/CN=sensor-7' });
  const unlisted = authority.issue('DNS:x', { subject: '/OU=office/CN=printer' });
  const pair = { PUSHFLEET_EDGE_MQTT_TLS_CERT: server.cert, PUSHFLEET_EDGE_MQTT_TLS_KEY: server.key };
  const grants = { publish: ['devices/{sub}/#'], subscribe: ['#'] };
  const withClients = {
    ...pair,
    PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CA: authority.cert,
    PUSHFLEET_EDGE_MQTT_TLS_CLIENT_GRANTS: JSON.stringify([
      { subject: 'CN', require: { OU: 'plant' }, grants },
    ]),
  };

  /** A connection whose handshake is done; undefined where it failed. */
  async function secure(edge: TestEdge, options: ConnectionOptions = {}): Promise<TLSSocket | undefined> {
    const port = edge.edge.addresses.tls?.port as number;
    const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, ...options });
    let failed = false;
    socket.on('error', () => {
      failed = true;
    });
    socket.on('close', () => {
      failed = true;
    });
    let done = false;
    socket.once('secureConnect', () => {
      done = true;
    });
    await until(() => done || failed, 'the handshake ends');
    return done ? socket : undefined;
  }

  /** What a CONNECT is answered that comes with this certificate. */
  async function answer(
    edge: TestEdge,
    shown: TestCertificate | undefined,
    over: Partial<Connect>,
  ): Promise<number | undefined> {
    const socket = await secure(edge, shown);
    if (socket === undefined) return undefined;
    const client = new RawMqtt(edge, over.version, socket);
    client.send(connectOf(over));
    const [connack] = await client.has('connack');
    socket.destroy();
    return connack?.reason;
  }

  suite('the listener', () => {
    test('speaks MQTT as the other one does, from TLS 1.2 on', async () => {
      const edge = await startEdge(scope, pair);
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const socket = await secure(edge, { minVersion: version, maxVersion: version });
        assert.equal(socket?.getProtocol(), version);
        const client = new RawMqtt(edge, 5, socket);
        client.send(connectOf({ password: password() }));
        assert.equal((await client.has('connack'))[0]?.reason, 0);
        client.send(publishOf('a', 'x'.repeat(100_000), { qos: 1, packetId: 1 }));
        await client.has('puback');
        client.socket.destroy();
      }
      const old = { minVersion: 'TLSv1' as const, maxVersion: 'TLSv1.1' as const, ciphers: 'ALL@SECLEVEL=0' };
      assert.equal(await secure(edge, old), undefined);
    });

    test('knows one protocol by name (RFC 7301)', async () => {
      const edge = await startEdge(scope, pair);
      const socket = await secure(edge, { ALPNProtocols: ['http/1.1', 'mqtt'] });
      assert.equal(socket?.alpnProtocol, 'mqtt');
      socket?.destroy();
      assert.equal(await secure(edge, { ALPNProtocols: ['http/1.1'] }), undefined);
    });

    test('is not there without a certificate', async () => {
      const edge = await startEdge(scope);
      assert.equal(edge.edge.addresses.tls, undefined);
    });

    test('a handshake has the time that a CONNECT has, and so has what comes behind it', async () => {
      const edge = await startEdge(scope, { ...pair, PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '0.5' });
      const silent = connectTcp(edge.edge.addresses.tls?.port as number, '127.0.0.1');
      let closed = 0;
      silent.on('close', () => closed++);
      silent.write(Buffer.from('1603010200', 'hex'));
      const secured = await secure(edge);
      secured?.on('close', () => closed++);
      await until(() => edge.edge.guests === 2, 'both are at the door');
      await until(() => closed === 2 && edge.edge.guests === 0, 'both are cut');
    });

    test('what is no TLS is closed', async () => {
      const edge = await startEdge(scope, pair);
      const client = new RawMqtt({ port: edge.edge.addresses.tls?.port as number });
      client.send(connectOf({ password: password() }));
      await client.end();
      await until(() => edge.edge.guests === 0, 'nobody is left');
    });

    test('a new certificate is shown to who comes, and who is there stays', async () => {
      const folder = temporaryFolder('mqtt-tls');
      const [certFile, keyFile] = [join(folder, 'crt'), join(folder, 'key')];
      const write = ({ cert, key }: TestCertificate): void => {
        writeFileSync(certFile, cert);
        writeFileSync(keyFile, key);
      };
      write(server);
      const edge = await startEdge(scope, {
        PUSHFLEET_EDGE_MQTT_TLS_CERT_FILE: certFile,
        PUSHFLEET_EDGE_MQTT_TLS_KEY_FILE: keyFile,
      });
      const shown = async (): Promise<string> => {
        const socket = (await secure(edge)) as TLSSocket;
        const { fingerprint256 } = socket.getPeerX509Certificate() as X509Certificate;
        socket.destroy();
        return fingerprint256;
      };
      const client = new RawMqtt(edge, 5, (await secure(edge)) as TLSSocket);
      client.send(connectOf({ password: password() }));
      await client.has('connack');
      const before = await shown();
      write(authority.issue('IP:127.0.0.1'));
      await until(async () => (await shown()) !== before, 'the new certificate');
      client.send({ type: 'pingreq' });
      await client.has('pingresp');
      client.socket.destroy();
    });

    test('closes while handshakes go on', async () => {
      const edge = await startEdge(scope, pair);
      const silent = connectTcp(edge.edge.addresses.tls?.port as number, '127.0.0.1');
      let closed = false;
      silent.on('close', () => {
        closed = true;
      });
      silent.on('error', () => {});
      await until(() => edge.edge.guests === 1, 'it is at the door');
      await edge.edge.close();
      await until(() => closed, 'it was sent away');
    });
  });

  suite('a certificate of a client', async () => {
    const edge = await startEdge(scope, withClients);

    test('stands for its subject, with what is declared and no more', async () => {
      const client = new RawMqtt(edge, 5, (await secure(edge, device)) as TLSSocket);
      client.send(connectOf({ clientId: 'a' }));
      assert.equal((await client.has('connack'))[0]?.reason, 0);
      client.send(publishOf('devices/sensor-7/t', 'x', { qos: 1, packetId: 1 }));
      client.send(publishOf('devices/sensor-8/t', 'x', { qos: 1, packetId: 2 }));
      const acks = await client.has('puback', 2);
      assert.deepEqual(
        acks.map(({ reason }) => reason),
        [0, reasons.notAuthorized],
      );
      client.socket.destroy();
    });

    test('allows nothing where no rule is about it; a token does', async () => {
      assert.equal(await answer(edge, unlisted, {}), reasons.notAuthorized);
      assert.equal(await answer(edge, unlisted, { password: password() }), reasons.success);
      assert.equal(await answer(edge, undefined, {}), reasons.notAuthorized);
      assert.equal(await answer(edge, undefined, { password: password() }), reasons.success);
      assert.equal(
        await answer(edge, undefined, { password: Buffer.from('x') }),
        reasons.badUserNameOrPassword,
      );
    });

    test('and a token have to be of one subject and namespace; the token says what it may do', async () => {
      const same = { sub: 'sensor-7', pushfleet: { publish: ['#'] } };
      assert.equal(await answer(edge, device, { password: password(same) }), reasons.success);
      assert.equal(await answer(edge, device, { password: password() }), reasons.notAuthorized);
      const elsewhere = { ...same, ns: 'other' };
      assert.equal(await answer(edge, device, { password: password(elsewhere) }), reasons.notAuthorized);
      assert.equal(await answer(edge, device, { password: Buffer.from('x') }), reasons.badUserNameOrPassword);
      const expired = { ...same, exp: 1 };
      assert.equal(
        await answer(edge, device, { password: password(expired) }),
        reasons.badUserNameOrPassword,
      );
    });

    test('and whom an authentication method names have to be one, too', async () => {
      const by = (claims: object) => ({
        authenticationMethod: 'OAUTHBEARER',
        authenticationData: Buffer.from(`n,,\u0001auth=Bearer ${token(claims)}\u0001\u0001`),
      });
      assert.equal(await answer(edge, device, { properties: by({ sub: 'sensor-7' }) }), reasons.success);
      assert.equal(await answer(edge, device, { properties: by({}) }), reasons.notAuthorized);
      assert.equal(await answer(edge, unlisted, { properties: by({}) }), reasons.success);
      const foreign = stranger.issue('DNS:x');
      assert.equal(await answer(edge, foreign, { properties: by({}) }), reasons.notAuthorized);
    });

    test('a user name without a password says the same or nothing', async () => {
      assert.equal(await answer(edge, device, { userName: 'sensor-7' }), reasons.success);
      assert.equal(await answer(edge, device, { userName: '' }), reasons.success);
      assert.equal(await answer(edge, device, { userName: 'sensor-8' }), reasons.badUserNameOrPassword);
      assert.equal(await answer(edge, device, { userName: 'sensor-8', version: 4 }), 4);
    });

    test('that nobody here trusts is told so, whatever token comes with it', async () => {
      const foreign = stranger.issue('DNS:x', { subject: '/OU=plant/CN=sensor-7' });
      for (const over of [{}, { password: password() }]) {
        assert.equal(await answer(edge, foreign, over), reasons.badUserNameOrPassword);
      }
    });

    test('is looked at again by every connection: no session is resumed', async () => {
      const first = (await secure(edge, { ...device, maxVersion: 'TLSv1.2' })) as TLSSocket;
      const session = first.getSession() as Buffer;
      first.destroy();
      const again = await secure(edge, { ...device, session, maxVersion: 'TLSv1.2' });
      assert.equal(again?.isSessionReused(), false);
      again?.destroy();
    });

    test('that was revoked ends its connections and opens none', async () => {
      const doomed = await startEdge(scope, withClients);
      const client = new RawMqtt(doomed, 5, (await secure(doomed, device)) as TLSSocket);
      client.send(connectOf({}));
      await client.has('connack');
      doomed.registry.revoke('sensor-7');
      await client.end();
      assert.equal(client.of('disconnect')[0]?.reason, reasons.notAuthorized);
      assert.equal(await answer(doomed, device, {}), reasons.banned);
    });

    test('that its authority revoked opens none, from a few seconds after the list says so', async () => {
      const crl = join(temporaryFolder('mqtt-crl'), 'crl');
      const doomed = authority.issue('DNS:x', { subject: '/OU=plant/CN=sensor-9' });
      writeFileSync(crl, authority.revocations());
      const edge = await startEdge(scope, { ...withClients, PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CRL_FILE: crl });
      assert.equal(await answer(edge, doomed, {}), reasons.success);
      writeFileSync(crl, authority.revocations(doomed));
      await until(async () => (await answer(edge, doomed, {})) !== reasons.success, 'the list to be read');
      assert.equal(await answer(edge, doomed, { password: password() }), reasons.badUserNameOrPassword);
      assert.equal(await answer(edge, device, {}), reasons.success);
    });

    test('can be asked of everybody', async () => {
      const strict = await startEdge(scope, {
        ...withClients,
        PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CERT: 'required',
      });
      assert.equal(await answer(strict, device, {}), reasons.success);
      assert.equal(await answer(strict, unlisted, { password: password() }), reasons.success);
      for (const shown of [undefined, stranger.issue('DNS:x')]) {
        // In TLS 1.3 a client learns of it behind its own end of the handshake.
        const socket = await secure(strict, shown);
        await until(() => socket?.destroyed ?? true, 'it is closed');
      }
      await until(() => strict.edge.guests + strict.edge.size === 0, 'nobody is left');
    });
  });

  test('what is configured in half is refused', () => {
    const env = { PUSHFLEET_TOKEN_SECRET: 'x'.repeat(32) };
    const made = (more: object) =>
      new Edge({ ...startless, config: readConfig(fields, { ...env, ...more }) } as never);
    const of = (name: string) => ({ [name]: withClients[name as keyof typeof withClients] });
    for (const name of ['CERT', 'KEY', 'CLIENT_CA']) {
      assert.throws(() => made(of(`PUSHFLEET_EDGE_MQTT_TLS_${name}`)), /belong together/, name);
    }
    for (const more of [
      of('PUSHFLEET_EDGE_MQTT_TLS_CLIENT_GRANTS'),
      { PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CERT: 'required' },
      { ...pair, PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CERT: 'required' },
    ]) {
      assert.throws(() => made(more), /PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CA/);
    }
  });
  const startless = await startEdge(scope);
});
