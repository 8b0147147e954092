import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { until } from '@pushfleet/contract';
import { head, RawClient } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge, token } from './testing.ts';
import {
  binaryMessage,
  Client,
  clientFrame,
  handshake,
  RawSocket,
  type Said,
  serverFrames,
} from './testing-client.ts';

suite('the WebSocket edge', () => {
  let edge: TestEdge;
  let stop: () => Promise<void>;
  const opened: { close(): void }[] = [];
  after(async () => {
    for (const one of opened) one.close();
    await stop();
  });
  before(async () => {
    const keep = (given: () => Promise<void>): void => {
      stop = given;
    };
    edge = await startEdge({ after: keep }, { PUSHFLEET_CORS_ORIGINS: 'https://app.example' });
  });
  const kept = <T extends { close(): void }>(one: T): T => {
    opened.push(one);
    return one;
  };
  const come = (options: ConstructorParameters<typeof Client>[1], query = ''): Client =>
    kept(new Client(`${edge.url}${query}`, options));
  const open = async (claims?: object, options?: object): Promise<Client> =>
    kept(await Client.open(edge, claims, options));
  const raw = async (more?: Record<string, string>): Promise<RawSocket> =>
    kept(await RawSocket.open(edge.port, more));

  suite('who comes', () => {
    const origin = 'https://app.example';

    test('by header', async () => {
      const [welcome] = (await open()).of('welcome');
      assert.deepEqual([welcome?.subject, welcome?.ping], ['ann', 25_000]);
      assert.match(welcome?.connection as string, /^[\w-]{16}\.[\w-]{8}$/);
    });

    test('by cookie, from a page of a listed origin and of the own one', async () => {
      for (const page of [origin, `http://127.0.0.1:${edge.port}`]) {
        const client = come({ origin: page, headers: { cookie: `pushfleet=${token()}` } });
        await client.has('welcome');
      }
    });

    test('by ticket, which is good once and sets the cookie', async () => {
      const ticket = edge.registry.ticket(token());
      const client = come({ origin }, `?ticket=${ticket}`);
      let cookies: readonly string[] | undefined;
      client.socket.on('upgrade', ({ headers }) => {
        cookies = headers['set-cookie'];
      });
      await client.has('welcome');
      assert.match(
        cookies?.[0] ?? '',
        /^pushfleet=[\w.-]+; Path=\/; Max-Age=3[56]\d\d; HttpOnly; SameSite=Strict$/,
      );
      const again = come({ origin }, `?ticket=${ticket}`);
      assert.deepEqual(await again.end(), { code: 4401, reason: 'unauthenticated' });
    });

    test('by the first message, and what is said right behind it waits', async () => {
      const client = come({ origin: 'https://anywhere.example' });
      client.socket.on('open', () => {
        client.send({ type: 'auth', token: token() });
        client.send({ type: 'subscribe', id: 'mine', filters: ['a'] });
        client.send({ type: 'ping', id: 7 });
      });
      await client.answer('mine');
      assert.deepEqual(client.said.map(({ type }) => type).sort(), ['pong', 'subscribed', 'welcome']);
      assert.equal(client.said[0]?.type, 'welcome');
      assert.equal(edge.edge.guests, 0);
    });

    test('a foreign page cannot use the cookie or a ticket', async () => {
      const ticket = edge.registry.ticket(token());
      const headers = { cookie: `pushfleet=${token()}` };
      const foreign = { origin: 'https://evil.example' };
      for (const client of [come({ ...foreign, headers }), come(foreign, `?ticket=${ticket}`)]) {
        assert.deepEqual(await client.end(), { code: 4403, reason: 'forbidden' });
        assert.deepEqual(
          client.said.map(({ type, reconnect }) => [type, reconnect]),
          [['closing', false]],
        );
      }
      const crossSite = come({ headers: { ...headers, 'sec-fetch-site': 'cross-site' } });
      await until(() => crossSite.refused !== undefined, 'it is refused');
      assert.equal(crossSite.refused?.status, 403);
      await come({ origin }, `?ticket=${ticket}`).has('welcome');
    });

    test('a program is refused by status, a page is let in to be told', async () => {
      const headers = { authorization: 'Bearer nonsense' };
      const program = come({ headers });
      await until(() => program.refused !== undefined, 'it is refused');
      assert.equal(program.refused?.status, 401);
      assert.equal(JSON.parse(program.refused?.body ?? '').code, 'unauthenticated');
      const page = come({ origin, headers });
      assert.deepEqual(await page.end(), { code: 4401, reason: 'unauthenticated' });
      assert.deepEqual(page.said[0]?.code, 'unauthenticated');
    });

    const first: readonly [string, Buffer, number, string][] = [
      ['no auth', clientFrame(0x81, '{"type":"ping"}'), 4401, 'unauthenticated'],
      ['no JSON', clientFrame(0x81, 'hello'), 1008, 'request_invalid'],
      ['bytes', clientFrame(0x82, 'hello'), 1003, 'request_invalid'],
      ['a bad token', clientFrame(0x81, '{"type":"auth","token":"x"}'), 4401, 'unauthenticated'],
      [
        'too much',
        clientFrame(0x81, JSON.stringify({ type: 'auth', token: 'x'.repeat(33_000) })),
        1009,
        'payload_too_large',
      ],
      ['no UTF-8', clientFrame(0x81, Buffer.from([0xff])), 1007, 'request_invalid'],
    ];
    for (const [what, frame, code, reason] of first) {
      test(`a first message of ${what} ends with ${code}`, async () => {
        const client = kept(new RawSocket(edge.port));
        client.write(frame);
        assert.deepEqual(await client.closing(), { code, reason });
      });
    }
  });

  suite('what is no handshake', () => {
    const rows: readonly [string, string, Record<string, string>, number, RegExp][] = [
      ['a plain request', 'GET /ws HTTP/1.1', {}, 426, /\r\nupgrade: websocket\r\n/],
      ['another path', 'GET /wss HTTP/1.1', handshake(), 404, /problem\+json/],
      ['another method', 'POST /ws HTTP/1.1', { 'Content-Length': '0' }, 405, /\r\nallow: GET\r\n/i],
      [
        'another upgrade',
        'GET /ws HTTP/1.1',
        handshake({ Upgrade: 'h2c' }),
        426,
        /\r\nupgrade: websocket\r\n/,
      ],
      [
        'another version',
        'GET /ws HTTP/1.1',
        handshake({ 'Sec-WebSocket-Version': '7' }),
        426,
        /sec-websocket-version: 13\r\n/,
      ],
      [
        'no subprotocol of ours',
        'GET /ws HTTP/1.1',
        handshake({ 'Sec-WebSocket-Protocol': 'mqtt' }),
        400,
        /problem\+json/,
      ],
      [
        'the echo, which is off',
        'GET /ws HTTP/1.1',
        handshake({ 'Sec-WebSocket-Protocol': 'pushfleet.echo' }),
        400,
        /problem\+json/,
      ],
      ['a long head', 'GET /ws HTTP/1.1', handshake({ X: 'x'.repeat(30_000) }), 431, /problem\+json/],
      ['noise', 'x', {}, 400, /problem\+json/],
    ];
    for (const [what, line, headers, status, lines] of rows) {
      test(`${what}: ${status}`, async () => {
        const client = kept(new RawClient(edge.port, head(line, headers)));
        await until(() => client.received.includes('}'), 'a problem');
        assert.equal(client.status, status);
        assert.match(client.received, lines);
        const { status: said, code } = JSON.parse(client.body.slice(client.body.indexOf('{'))) as Record<
          string,
          unknown
        >;
        assert.equal(said, status);
        if (status < 426) assert.notEqual(code, what);
      });
    }

    test('exactly one subprotocol is echoed', async () => {
      const client = await raw({ 'Sec-WebSocket-Protocol': 'mqtt, pushfleet.v1, x' });
      const head = client.received.toString().split('\r\n\r\n')[0] ?? '';
      assert.deepEqual(head.match(/sec-websocket-protocol:.*/g), ['sec-websocket-protocol: pushfleet.v1']);
      assert.doesNotMatch(head, /extensions/);
    });
  });

  suite('what is asked', () => {
    test('a publish is answered once it is stored, and again as the same', async () => {
      const client = await open();
      await client.subscribe(['orders/+']);
      const publish = {
        type: 'publish',
        topic: 'orders/1',
        publication: 'one',
        data: { total: 1 },
        event: 'paid',
      };
      const [stored, again] = [await client.ask(publish), await client.ask(publish)];
      assert.deepEqual([stored.type, stored.publication, stored.duplicate], ['published', 'one', false]);
      assert.deepEqual([again.duplicate, again.cursor], [true, stored.cursor]);
      const [publication] = await client.has('publication');
      const event = publication?.event as Record<string, unknown>;
      assert.deepEqual(
        [event.id, event.source, event.type, event.subject, event.data, event.pushfleetcursor],
        ['one', 'ann', 'paid', 'orders/1', { total: 1 }, stored.cursor],
      );
    });

    test('bytes go in and come out as bytes', async () => {
      const client = await open();
      await client.subscribe(['bytes']);
      const payload = Buffer.from([0, 255, 128, 7]);
      client.socket.send(
        binaryMessage({ type: 'publish', id: 'b', topic: 'bytes', contentType: 'image/png' }, payload),
      );
      assert.equal((await client.answer('b')).type, 'published');
      const [publication] = (await client.has('publication')) as readonly [Said];
      assert.deepEqual(publication.payload, payload);
      assert.equal((publication.event as { datacontenttype: string }).datacontenttype, 'image/png');
    });

    test('publications of one topic are stored in the order of their messages', async () => {
      const client = await open();
      await client.subscribe(['order']);
      const numbers = Array.from({ length: 100 }, (_, i) => i);
      for (const data of numbers) client.send({ type: 'publish', id: `o${data}`, topic: 'order', data });
      assert.deepEqual(await client.texts(100), numbers);
    });

    test('a filter that two subscribes name is given once; what was unsubscribed is given no more', async () => {
      const client = await open();
      await client.subscribe(['twice', 'twice/#']);
      await client.subscribe(['twice', 'other']);
      await edge.publish('twice', '1');
      await edge.publish('other', '2');
      assert.deepEqual(await client.texts(2), ['1', '2']);
      assert.equal(
        (await client.ask({ type: 'unsubscribe', filters: ['twice', 'twice/#'] })).type,
        'unsubscribed',
      );
      await edge.publish('twice', '3');
      await edge.publish('other', '4');
      assert.deepEqual(await client.texts(3), ['1', '2', '4']);
    });

    test('resuming by a cursor and the retained publications', async () => {
      const { cursor } = await edge.publish('resume/a', 'one', { retain: true });
      await edge.publish('resume/a', 'two');
      await edge.publish('resume/b', 'three');
      const client = await open();
      await client.subscribe(['resume/#'], { after: cursor });
      assert.deepEqual(await client.texts(2), ['two', 'three']);
      const other = await open();
      await other.subscribe(['resume/#'], { retained: true });
      assert.deepEqual(await other.texts(1), ['one']);
      assert.equal(other.of('publication')[0]?.retained, true);
    });

    test('an error answers its request and changes nothing else', async () => {
      const client = await open({ pushfleet: { subscribe: ['mine/#'], publish: ['mine/#'] } });
      const refused = [
        await client.subscribe(['mine/a', 'theirs/#']),
        await client.subscribe(['mine/#/a']),
        await client.ask({ type: 'publish', topic: 'theirs/a' }),
        await client.ask({ type: 'publish', topic: 'mine/+' }),
        await client.ask({ type: 'publish', topic: '$presence/a' }),
        await client.ask({ type: 'presence', action: 'enter', topic: 'mine' }),
        await client.ask({ type: 'nonsense' }),
      ];
      assert.deepEqual(
        refused.map(({ type, code }) => [type, code]),
        [
          'forbidden',
          'filter_invalid',
          'forbidden',
          'topic_invalid',
          'forbidden',
          'forbidden',
          'request_invalid',
        ].map((code) => ['error', code]),
      );
      assert.match(refused[0]?.detail as string, /theirs/);
      client.socket.send('{');
      const [unreadable] = (await client.has('error', 8)).slice(-1);
      assert.deepEqual([unreadable?.id, unreadable?.code], [undefined, 'request_invalid']);
      assert.equal((await client.subscribe(['mine/#'])).type, 'subscribed');
    });

    test('presence: enter, update, list, leave, and leaving all at the end', async () => {
      const client = await open();
      const [{ connection }] = client.of('welcome') as unknown as [{ connection: string }];
      const entered = await client.ask({
        type: 'presence',
        action: 'enter',
        topic: 'room',
        state: { desk: 4 },
      });
      const [member] = entered.members as [Record<string, unknown>];
      assert.deepEqual(
        [member.subject, member.client, member.status, member.state],
        ['ann', connection, 'online', { desk: 4 }],
      );
      const updated = await client.ask({ type: 'presence', action: 'update', topic: 'room', status: 'busy' });
      assert.equal((updated.members as [{ status: string }])[0].status, 'busy');
      await client.ask({ type: 'presence', action: 'enter', topic: 'room', client: 'phone' });
      const listed = await client.ask({ type: 'presence', action: 'list', topic: 'room' });
      assert.deepEqual([listed.topic, listed.total, (listed.members as unknown[]).length], ['room', 2, 2]);
      assert.deepEqual((await client.ask({ type: 'presence', action: 'leave', topic: 'room' })).members, []);
      client.close();
      await until(() => edge.presence.partings.some((one) => one.connection === connection), 'it left');
      assert.deepEqual(edge.presence.partings.at(-1), { connection, how: 'left' });
    });
  });

  suite('frames', () => {
    test('a ping is answered with its own payload', async () => {
      const client = await raw();
      client.write(clientFrame(0x89, 'are you there'));
      await client.has(Buffer.from('8a0d', 'hex'));
      await client.has('are you there');
    });

    test('fragments with a ping between them are one message', async () => {
      const client = await raw();
      client.write(clientFrame(0x01, '{"type":'), clientFrame(0x89, ''), clientFrame(0x80, '"ping","id":5}'));
      await client.has('{"type":"pong","id":5}');
    });

    test('a frame that comes byte by byte is read', async () => {
      const client = await raw();
      for (const byte of clientFrame(0x81, '{"type":"ping","id":6}')) {
        client.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.has('{"type":"pong","id":6}');
    });

    test('a deflated message is inflated; what is sent back is deflated once for all who asked for that', async () => {
      const both = await Promise.all(
        [1, 2].map(() => raw({ 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' })),
      );
      for (const client of both) {
        const deflated = deflateRawSync('{"type":"subscribe","id":1,"filters":["deflated"]}', {
          finishFlush: 2,
        });
        client.write(clientFrame(0xc1, deflated.subarray(0, -4)));
        await client.has('subscribed');
      }
      await edge.publish('deflated', 'again '.repeat(1_000));
      for (const client of both) {
        const last = () =>
          serverFrames(client.received.subarray(client.received.indexOf('\r\n\r\n') + 4)).at(-1);
        await until(() => last()?.first === 0xc1, 'a deflated message');
        const { payload } = last() as NonNullable<ReturnType<typeof last>>;
        assert.ok(payload.length < 400);
        const text = inflateRawSync(Buffer.concat([payload, Buffer.from('0000ffff', 'hex')]), {
          finishFlush: 2,
        });
        assert.match(text.toString(), /"data":"(again ){1000}"/);
      }
    });

    const bomb = deflateRawSync(Buffer.alloc(64 * 1_048_576), { finishFlush: 2 }).subarray(0, -4);
    const faults: readonly [string, Buffer, number, string, string?][] = [
      ['reserved bits', clientFrame(0xb1, ''), 1002, 'request_invalid'],
      ['RSV1 where nothing was agreed on', clientFrame(0xc1, ''), 1002, 'request_invalid'],
      ['a reserved opcode', clientFrame(0x83, ''), 1002, 'request_invalid'],
      ['no mask', Buffer.from([0x81, 0]), 1002, 'request_invalid'],
      ['a fragment of nothing', clientFrame(0x80, 'x'), 1002, 'request_invalid'],
      ['a fragmented ping', clientFrame(0x09, ''), 1002, 'request_invalid'],
      ['a long ping', clientFrame(0x89, 'x'.repeat(126)), 1002, 'request_invalid'],
      [
        'a close code that is never sent',
        clientFrame(0x88, Buffer.from('03ed', 'hex')),
        1002,
        'request_invalid',
      ],
      ['text that is no UTF-8', clientFrame(0x81, Buffer.from([0xc3, 0x28])), 1007, 'request_invalid'],
      ['a large frame', Buffer.from('81ff0000000000200000', 'hex'), 1009, 'payload_too_large'],
      ['2^63 bytes', Buffer.from('81ffffffffffffffffff', 'hex'), 1009, 'payload_too_large'],
      ['a zip bomb', clientFrame(0xc1, bomb), 1009, 'payload_too_large', 'permessage-deflate'],
      [
        'what is not deflated',
        clientFrame(0xc1, 'plain text'),
        1007,
        'request_invalid',
        'permessage-deflate',
      ],
    ];
    for (const [what, frame, code, reason, extensions] of faults) {
      test(`${what}: told, and closed with ${code}`, async () => {
        const client = await raw(extensions === undefined ? {} : { 'Sec-WebSocket-Extensions': extensions });
        client.write(frame);
        assert.deepEqual(await client.closing(), { code, reason });
        assert.match(
          client.received.toString('latin1'),
          /"type":"closing","code":"(request_invalid|payload_too_large)"/,
        );
      });
    }

    test('a client that closes gets its own code back, and an empty frame for an empty one', async () => {
      for (const [payload, expected] of [
        ['03e8', 1000],
        ['03e9', 1001],
        ['0fa0', 4000],
        ['', 0],
      ] as const) {
        const client = await raw();
        client.write(clientFrame(0x88, Buffer.from(payload, 'hex')));
        client.socket.end();
        assert.equal((await client.closing()).code, expected);
      }
    });

    test('what comes behind a close frame is not read', async () => {
      const client = await raw();
      client.write(
        clientFrame(0x88, ''),
        clientFrame(0x81, '{"type":"publish","id":1,"topic":"late","text":"x"}'),
      );
      await client.closing();
      assert.doesNotMatch(client.received.toString('latin1'), /published/);
    });
  });
});
