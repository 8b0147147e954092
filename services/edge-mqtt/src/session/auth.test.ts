import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PushfleetError, parseTopicFilter } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import type { Turn } from '../auth/exchange.ts';
import { type ClientPacket, reasons, type Will } from '../codec.ts';
import { type Client, grantOf, publishOf, Stage, subscribeOf } from './testing.ts';

const grantUntil = (expiresAt: number): Grant => ({ ...grantOf(), expiresAt });
const only = (...filters: readonly string[]) => filters.map(parseTopicFilter);
const again = (text = 'token', method = 'M'): ClientPacket => reauth(0x19, text, method);
const more = (text = 'more', method = 'M'): ClientPacket => reauth(0x18, text, method);
const reauth = (reason: 0x18 | 0x19, text: string, method: string): ClientPacket => ({
  ...{ type: 'auth', reason },
  properties: { authenticationMethod: method, authenticationData: Buffer.from(text) },
});

interface Answers {
  /** What is said to each data in turn; one that is an error is thrown. */
  readonly turns?: (Turn | PushfleetError | Promise<Turn>)[];
  readonly grant?: Grant;
  readonly over?: Parameters<Stage['connect']>[0];
}

const known = (grant: Grant, text?: string): Turn => ({
  ...{ kind: 'known', grant },
  data: text === undefined ? undefined : Buffer.from(text),
});
const challenge = (text: string): Turn => ({ kind: 'continue', data: Buffer.from(text) });

async function open({ turns = [], grant = grantOf(), over = {} }: Answers) {
  const stage = new Stage();
  const heard: string[] = [];
  const exchange = {
    next: async (data: Buffer | undefined): Promise<Turn> => {
      heard.push(data?.toString() ?? '');
      const turn = await turns.shift();
      if (turn === undefined || turn instanceof PushfleetError) throw turn;
      return turn;
    },
  };
  const auth = { method: 'M', data: Buffer.from('last'), begin: () => exchange };
  const client = await stage.connect(over, grant, auth);
  return { stage, client, heard };
}

const said = (client: Client) =>
  client
    .of('auth')
    .map(({ reason, properties: { authenticationMethod, authenticationData } }) => [
      reason,
      authenticationMethod,
      authenticationData?.toString(),
    ]);

const lastWord = (client: Client): [number | undefined, string | undefined] => {
  const last = client.of('disconnect')[0];
  return [last?.reason, last?.properties.reasonString];
};

suite('re-authentication', () => {
  test('CONNACK has method and data of the first one [MQTT-4.12.0-5]', async () => {
    const { client } = await open({});
    const { authenticationMethod, authenticationData } = client.of('connack')[0]?.properties ?? {};
    assert.deepEqual([authenticationMethod, authenticationData?.toString()], ['M', 'last']);
  });

  test('begins with 0x19, goes on with 0x18 and ends with 0x00, all with the method [MQTT-4.12.1-1]', async () => {
    const { stage, client, heard } = await open({
      turns: [challenge('one'), challenge('two'), known(grantOf(), 'end')],
    });
    for (const packet of [again('a'), more('b'), more('c')]) {
      client.send(packet);
      await stage.settle();
    }
    assert.deepEqual(heard, ['a', 'b', 'c']);
    assert.deepEqual(said(client), [
      [0x18, 'M', 'one'],
      [0x18, 'M', 'two'],
      [0x00, 'M', 'end'],
    ]);
    assert.equal(client.ended, false);
  });

  test('everything else goes on meanwhile by the former grant', async () => {
    const waiting = Promise.withResolvers<Turn>();
    const [former, next] = [grantOf(), grantOf()];
    const { stage, client } = await open({ turns: [waiting.promise], grant: former });
    client.send(again(), subscribeOf(1, ['a:1']));
    await stage.settle();
    client.send(publishOf('a', 'x', { qos: 1, packetId: 2 }));
    await stage.settle();
    assert.deepEqual(client.texts, ['a=x 1']);
    assert.deepEqual(said(client), []);
    waiting.resolve(known(next));
    await stage.settle();
    client.send(publishOf('b', 'x', { qos: 1, packetId: 3 }));
    await stage.settle();
    assert.deepEqual(said(client), [[0x00, 'M', undefined]]);
    assert.equal(client.of('puback').length, 2);
    assert.deepEqual(
      stage.published.map(({ grant }) => grant === former),
      [true, false],
    );
  });

  test('the will is published by the grant in force, also where another connection takes the session over', async () => {
    for (const end of ['gone', 'taken'] as const) {
      const will: Will = { topic: 'w', payload: Buffer.alloc(0), qos: 0, retain: false, properties: {} };
      const next = grantOf();
      const { stage, client } = await open({ turns: [known(next)], over: { will } });
      client.send(again());
      await stage.settle();
      if (end === 'gone') client.session.gone();
      else await stage.connect();
      assert.deepEqual(
        stage.wills.map(({ grant }) => grant === next),
        [true],
      );
    }
  });

  test('a connection outlives the token that it was opened with, and ends with the new one', async () => {
    const start = new Stage().clock.now();
    const { stage, client } = await open({
      turns: [known(grantUntil(start + 90_000))],
      grant: grantUntil(start + 30_000),
    });
    client.send(again());
    await stage.settle();
    for (let i = 0; i < 8; i++) {
      await stage.clock.advance(10_000);
      assert.equal(client.ended, false, `after ${i + 1} times 10 s`);
    }
    await stage.clock.advance(10_100);
    assert.equal(lastWord(client)[0], reasons.notAuthorized);
    assert.deepEqual(stage.ends, ['token_expired']);
  });

  test('what is asked for afterwards is judged by the new grant', async () => {
    const { stage, client } = await open({
      turns: [known(grantOf({ subscribe: only('a/#', 'b') }))],
      grant: grantOf({ subscribe: only('a/#') }),
    });
    client.send(subscribeOf(1, ['a/1', 'b']));
    await stage.settle();
    client.send(again());
    await stage.settle();
    client.send(subscribeOf(2, ['b', 'c']));
    await stage.settle();
    assert.deepEqual(
      client.of('suback').map((one) => one.reasons),
      [
        [0, 0x87],
        [0, 0x87],
      ],
    );
  });

  test('that fails ends the connection with a reason, and its will is due [MQTT-4.12.1-2]', async () => {
    const will: Will = { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false, properties: {} };
    for (const [code, reason] of [
      ['unauthenticated', reasons.notAuthorized],
      ['token_expired', reasons.notAuthorized],
      ['token_revoked', reasons.notAuthorized],
      ['unavailable', reasons.serverBusy],
      ['rate_limited', reasons.messageRateTooHigh],
    ] as const) {
      const { stage, client } = await open({ turns: [new PushfleetError(code, 'No.')], over: { will } });
      client.send(again());
      await stage.settle();
      assert.deepEqual(lastWord(client), [reason, 'No.'], code);
      assert.deepEqual([client.ended, stage.wills.length, stage.ends], [true, 1, [code]]);
      assert.deepEqual(said(client), []);
    }
  });

  test('as another subject, or for less than is in use, fails the same way', async () => {
    const will: Will = { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false, properties: {} };
    for (const [grant, says] of [
      [grantOf({}, 'bob'), /another subject/],
      [{ ...grantOf(), namespace: 'other' as never }, /another subject or namespace/],
      [grantOf({ subscribe: only('b') }), /subscribe to "a"/],
      [grantOf({ subscribe: only('a') }), /subscribe to "s"/],
      [grantOf({ publish: only('a') }), /publish to "w"/],
    ] as const) {
      const { stage, client } = await open({ turns: [known(grant)], over: { will } });
      client.send(subscribeOf(1, ['a', '$share/g/s']));
      await stage.settle();
      client.send(again());
      await stage.settle();
      const [reason, text] = lastWord(client);
      assert.equal(reason, reasons.notAuthorized);
      assert.match(text ?? '', says);
      assert.equal(client.ended, true);
    }
    const { stage, client } = await open({
      turns: [known(grantOf({ subscribe: only('a'), publish: only('w') }))],
    });
    client.send(subscribeOf(1, ['a']));
    await stage.settle();
    client.send(again());
    await stage.settle();
    assert.deepEqual([client.ended, said(client).length], [false, 1]);
  });

  test('a filter that is kept, and that the token of this connection does not grant, is not asked of the next token', async () => {
    const kept = { cleanStart: false, properties: { sessionExpiryInterval: 100 } };
    const { stage, client } = await open({ over: kept });
    client.send(subscribeOf(1, ['a', 'b']));
    await stage.settle();
    client.session.gone();
    const grant = grantOf({ subscribe: only('a') });
    const auth = { method: 'M', data: undefined, begin: () => ({ next: async () => known(grant) }) };
    const two = await stage.connect(kept, grant, auth);
    await stage.settle();
    two.send(again());
    await stage.settle();
    assert.deepEqual([two.ended, said(two).length], [false, 1]);
  });

  test('out of its order ends the connection: 0x82 [section 4.12.1]', async () => {
    const turns = () => [challenge('one'), known(grantOf())];
    for (const [packets, says] of [
      [[more()], /begins with the reason code 0x19/],
      [[again('token', 'other')], /MQTT-4\.12\.1-1/],
      [[again(), again()], /follows the answer/],
      [[again(), 'settle', again()], /goes on with 0x18/],
      [[again(), 'settle', more('x', 'other')], /MQTT-4\.12\.1-1/],
      [[again(), 'settle', more(), 'settle', more()], /begins with the reason code 0x19/],
    ] as const) {
      const { stage, client } = await open({ turns: turns() });
      for (const packet of packets) {
        if (packet === 'settle') await stage.settle();
        else client.send(packet);
      }
      const [reason, text] = lastWord(client);
      assert.equal(reason, reasons.protocolError);
      assert.match(text ?? '', says);
    }
  });

  test('may be repeated', async () => {
    const { stage, client } = await open({ turns: [1, 2, 3].map(() => known(grantOf())) });
    for (let i = 0; i < 3; i++) {
      client.send(again());
      await stage.settle();
    }
    assert.equal(said(client).length, 3);
  });

  test('whose answer the client does not take ends the connection [MQTT-3.1.2-24]', async () => {
    const { stage, client } = await open({
      turns: [challenge('x'.repeat(100))],
      over: { properties: { maximumPacketSize: 100 } },
    });
    client.send(again());
    await stage.settle();
    assert.equal(lastWord(client)[0], reasons.packetTooLarge);
  });

  test('that is answered when the connection has ended changes nothing', async () => {
    const waiting = Promise.withResolvers<Turn>();
    const { stage, client } = await open({ turns: [waiting.promise] });
    client.send(again());
    client.session.end('connection_age');
    waiting.resolve(known(grantUntil(1)));
    await stage.settle();
    assert.deepEqual([said(client), stage.ends, stage.errors], [[], ['connection_age'], []]);
  });
});
