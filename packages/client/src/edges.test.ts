import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PushfleetError } from './errors.ts';
import type { TransportName } from './fleet.ts';
import type { Message } from './message.ts';
import type { PresenceChange } from './presence.ts';
import { Ground, token, until } from './testing.ts';

const all: readonly TransportName[] = ['websocket', 'sse', 'poll'];

for (const name of all) {
  describe(`over ${name}`, () => {
    const options = { transports: [name] };

    it('brings what is published, as it was published', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      const received: Message[] = [];
      const subscription = fleet.subscribe('a/#', {}, (message) => received.push(message));
      await subscription.ready;
      assert.deepEqual([fleet.state, fleet.transport], ['connected', name]);
      await ground.publish('a/json', '{"n": 1}', { contentType: 'application/json', type: 'n.changed' });
      await ground.publish('a/text', 'é\r\n', { attributes: [['colour', 'red']] });
      const bytes = Buffer.from([0xff, 0, 1]);
      await ground.publish('a/bytes', bytes, { contentType: 'image/png', retain: true });
      await ground.publish('b', 'not this');
      const last = await ground.publish('a', 'last');
      await until(() => received.length === 4, 'all four');
      const [json, text, image, end] = received as [Message, Message, Message, Message];
      assert.deepEqual([json.topic, json.type, json.json()], ['a/json', 'n.changed', { n: 1 }]);
      assert.deepEqual([text.text(), text.attributes], ['é\r\n', { colour: 'red' }]);
      assert.deepEqual(
        [[...image.bytes()], image.contentType, image.retained],
        [[...bytes], 'image/png', false],
      );
      assert.deepEqual([end.topic, end.text(), end.source], ['a', 'last', 'test']);
      assert.equal(subscription.cursor, end.cursor);
      assert.ok(end.time.getTime() > Date.now() - 60_000);
      assert.equal(new Set([end.cursor, last.cursor]).size <= 2, true);
    });

    it('begins behind a cursor, or with what is retained', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      await ground.publish('r/1', 'kept', { retain: true });
      const { cursor } = await ground.publish('r/2', 'before');
      for (const text of ['1', '2', '3']) await ground.publish('r/2', text);
      const live: string[] = [];
      await fleet.subscribe('r/#', {}, (message) => live.push(message.text())).ready;
      const after = fleet.subscribe('r/2', { after: cursor });
      const texts: string[] = [];
      for await (const message of after) {
        texts.push(message.text());
        if (texts.length === 3) break;
      }
      assert.deepEqual(texts, ['1', '2', '3']);
      const retained: [string, boolean][] = [];
      fleet.subscribe('r/1', { retained: true }, (message) =>
        retained.push([message.text(), message.retained]),
      );
      await until(() => retained.length === 1, 'the retained one');
      await ground.publish('r/1', 'news', { retain: true });
      await until(() => retained.length === 2 && live.length === 1, 'the news');
      assert.deepEqual(retained, [
        ['kept', true],
        ['news', false],
      ]);
      assert.deepEqual(live, ['news'], 'the others were not disturbed');
    });

    it('adds and ends subscriptions, without a loss to the others', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      const received: string[] = [];
      await fleet.subscribe('s/#', {}, (message) => received.push(message.text())).ready;
      let published = 0;
      const flow = setInterval(() => void ground.publish('s/1', String(published++)), 3);
      for (let i = 0; i < 5; i++) {
        const other: string[] = [];
        const one = fleet.subscribe(`o/${i}`, {}, (message) => other.push(message.text()));
        await one.ready;
        await ground.publish(`o/${i}`, 'x');
        await until(() => other.length === 1, `o/${i}`);
        one.close();
      }
      clearInterval(flow);
      await until(() => received.length >= published, 'all');
      assert.deepEqual(
        received,
        Array.from({ length: published }, (_, i) => String(i)),
      );
    });

    it('goes on where it was cut, twenty times', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      const received: string[] = [];
      await fleet.subscribe('c/+', {}, (message) => received.push(message.text())).ready;
      let published = 0;
      const publish = async () => {
        for (let i = 0; i < 25; i++) await ground.publish('c/1', String(published++));
      };
      for (let cuts = 0; cuts < 20; ) {
        await publish();
        cuts += Math.min(1, ground.cut());
        await new Promise((resolve) => setTimeout(resolve, 10));
        fleet.reconnect();
      }
      await publish();
      await until(() => received.length >= published, 'all');
      assert.deepEqual(
        received,
        Array.from({ length: published }, (_, i) => String(i)),
      );
    });

    it('leaves with a slow reader, and comes back for what it missed', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      const quick: string[] = [];
      await fleet.subscribe('q', {}, (message) => quick.push(message.text())).ready;
      const slow = fleet.subscribe('q', { buffer: 10 });
      await slow.ready;
      for (let i = 0; i < 300; i++) await ground.publish('q', String(i));
      await until(() => quick.length === 300, 'the quick one has all');
      const texts: string[] = [];
      for await (const message of slow) {
        texts.push(message.text());
        if (texts.length === 300) break;
      }
      assert.deepEqual(texts, quick);
    });

    it('refuses a filter that the token does not grant, and no other', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect({ ...options, token: token({ pushfleet: { subscribe: ['f/#'] } }) });
      const received: string[] = [];
      const errors: string[] = [];
      fleet.on('error', ({ code }) => errors.push(code));
      const [good, bad] = [fleet.subscribe('f/1', {}, (m) => received.push(m.text())), fleet.subscribe('g')];
      await assert.rejects(bad.ready, { code: 'forbidden', retryable: false });
      await good.ready;
      await assert.rejects(fleet.subscribe('h').ready, { code: 'forbidden' });
      await assert.rejects(fleet.subscribe('f/#/x').ready, { code: 'filter_invalid' });
      await assert.rejects(
        async () => {
          for await (const _ of fleet.subscribe('h')) assert.fail();
        },
        { code: 'forbidden' },
      );
      await ground.publish('f/1', 'x');
      await until(() => received.length === 1, 'the good one');
      assert.deepEqual(errors, ['forbidden', 'forbidden', 'filter_invalid', 'forbidden'], 'each is told');
      assert.equal(fleet.state, 'connected');
    });

    it('watches who is on a topic, and says where it may not', async (t) => {
      const ground = await Ground.start(t);
      const granted = { pushfleet: { presence: ['room'] } };
      const fleet = ground.connect({ ...options, token: token(granted) });
      const [told, errors]: [string[], string[]] = [[], []];
      fleet.on('error', ({ code }) => told.push(code));
      const changes: PresenceChange[] = [];
      fleet.presence('room').watch(
        (change) => changes.push(change),
        ({ code }) => errors.push(code),
      );
      fleet.presence('other').watch(
        () => assert.fail(),
        ({ code }) => errors.push(code),
      );
      await until(() => errors.length === 1 && fleet.state === 'connected', 'the refusal');
      assert.deepEqual([errors, told], [['forbidden'], ['forbidden']]);
      const [since, changed] = ['2026-01-02T03:04:05.000Z', '2026-01-02T03:04:06.000Z'];
      const ann = { kind: 'left', subject: 'ann', client: '1', status: 'offline', since, changed };
      const contentType = 'application/json';
      const publish = () => void ground.publish('$presence/room', JSON.stringify(ann), { contentType });
      const flow = setInterval(publish, 10);
      await until(() => changes.length > 0, 'the change');
      clearInterval(flow);
      assert.deepEqual(changes[0], { ...ann, since: new Date(since), changed: new Date(changed) });
    });

    it('ends for good with a token that is refused', async (t) => {
      const ground = await Ground.start(t);
      const errors: PushfleetError[] = [];
      const fleet = ground.connect({ ...options, token: 'none' });
      fleet.on('error', (error) => errors.push(error));
      await assert.rejects(fleet.subscribe('a').ready, { code: 'unauthenticated' });
      assert.deepEqual([fleet.state, errors.at(-1)?.code], ['failed', 'unauthenticated']);
      assert.throws(() => fleet.subscribe('a'), { code: 'unauthenticated' });
    });

    it('renews its token in time', async (t) => {
      const ground = await Ground.start(t);
      let asked = 0;
      const fleet = ground.connect({
        ...options,
        token: async () => token({ exp: Math.floor(Date.now() / 1_000) + 6, n: ++asked }),
      });
      const states: string[] = [];
      const received: string[] = [];
      await fleet.subscribe('t', {}, (message) => received.push(message.text())).ready;
      fleet.on('state', (state) => states.push(state));
      await until(() => asked >= 2, 'the second token');
      await ground.publish('t', 'x');
      await until(() => received.length === 1, 'what is published');
      assert.deepEqual(states, []);
      if (name === 'websocket') assert.equal(ground.asked.websocket, 1);
    });

    it('tells of a gap', async (t) => {
      const ground = await Ground.start(t);
      const { cursor } = await ground.publish('g', 'kept');
      const lost = cursor.replace(/^[^-]+/, 'lost');
      const fleet = ground.connect(options);
      const received: string[] = [];
      const gaps: string[] = [];
      const subscription = fleet.subscribe('g', { after: lost }, (message) => received.push(message.text()));
      subscription.on('gap', ({ from }) => gaps.push(from));
      fleet.on('gap', (gap) => gaps.push(gap.subscription.filter));
      await until(() => gaps.length >= 2 && received.length === 1, 'the gap and what was kept');
      assert.deepEqual(gaps, [lost, 'g']);
    });

    it('puts no token into a URL', async (t) => {
      const ground = await Ground.start(t);
      const fleet = ground.connect(options);
      await fleet.subscribe('a').ready;
      assert.deepEqual(
        ground.urls.filter((url) => url.includes('ey')),
        [],
      );
    });
  });
}

describe('of the ways to the fleet', () => {
  const weathers: readonly (readonly [Partial<Ground['weather']>, TransportName])[] = [
    [{}, 'websocket'],
    [{ websocket: 'refused' }, 'sse'],
    [{ websocket: 'refused', sse: 'held back' }, 'poll'],
    [{ websocket: 'refused', sse: 'hangs' }, 'poll'],
    [{ websocket: 'refused', sse: 'refused' }, 'poll'],
  ];
  for (const [weather, name] of weathers) {
    it(`${name} is used where ${JSON.stringify(weather)}, and WebSocket as soon as it passes`, async (t) => {
      const ground = await Ground.start(t);
      Object.assign(ground.weather, weather);
      const fleet = ground.connect();
      const received: string[] = [];
      await fleet.subscribe('w', {}, (message) => received.push(message.text())).ready;
      assert.equal(fleet.transport, name);
      let published = 0;
      const flow = setInterval(() => void ground.publish('w', String(published++)), 3);
      ground.weather.websocket = 'passes';
      fleet.reconnect();
      await until(() => fleet.transport === 'websocket', 'the better way');
      clearInterval(flow);
      await until(() => received.length >= published, 'all');
      assert.deepEqual(
        received,
        Array.from({ length: published }, (_, i) => String(i)),
      );
    });
  }

  it('the one in use is left when it is cut and does not come back', async (t) => {
    const ground = await Ground.start(t);
    const fleet = ground.connect();
    const received: string[] = [];
    const ways: (string | undefined)[] = [];
    fleet.on('transport', (way) => ways.push(way));
    await fleet.subscribe('w', {}, (message) => received.push(message.text())).ready;
    for (const [i, name] of all.entries()) {
      await until(() => fleet.transport === name, name);
      await ground.publish('w', String(i));
      await until(() => received.length === i + 1, 'the publication');
      ground.weather[name] = 'refused';
      ground.cut();
      fleet.reconnect();
    }
    await until(() => fleet.state === 'waiting', 'nothing is left');
    Object.assign(ground.weather, { sse: 'passes' });
    await ground.publish('w', '3');
    await until(() => received.length === 4, 'the stream');
    assert.deepEqual(received, ['0', '1', '2', '3']);
    assert.deepEqual(
      ways.filter((way) => way !== undefined),
      ['websocket', 'sse', 'poll', 'sse'],
    );
  });
});

describe('over WebSocket', () => {
  it('publishes what it is given', async (t) => {
    const ground = await Ground.start(t);
    const fleet = ground.connect();
    const received: Message[] = [];
    await fleet.subscribe('p/#', {}, (message) => received.push(message)).ready;
    const payloads = [{ a: 1 }, 'text', Uint8Array.of(0xff, 0), undefined, null, [1]];
    for (const payload of payloads) {
      const { topic, duplicate } = await fleet.publish('p/1', payload, {
        type: 'my',
        attributes: { colour: 'red' },
      });
      assert.deepEqual([topic, duplicate], ['p/1', false]);
    }
    await until(() => received.length === 6, 'all');
    const [json, text, bytes, nothing, none, list] = received as [
      Message,
      Message,
      Message,
      Message,
      Message,
      Message,
    ];
    assert.deepEqual([json.json(), json.type, json.attributes], [{ a: 1 }, 'my', { colour: 'red' }]);
    assert.deepEqual([text.text(), text.contentType], ['text', 'text/plain; charset=utf-8']);
    assert.deepEqual([[...bytes.bytes()], bytes.contentType], [[0xff, 0], 'application/octet-stream']);
    assert.deepEqual([nothing.bytes().length, none.json(), list.json()], [0, null, [1]]);
    assert.equal((await fleet.publish('p/2', 'x', { id: 'once' })).duplicate, false);
    assert.deepEqual((await fleet.publish('p/2', 'x', { id: 'once' })).duplicate, true);
    await assert.rejects(fleet.publish('p/+', 'x'), { code: 'topic_invalid' });
  });

  it('publishes again what was cut, once and in order', async (t) => {
    const ground = await Ground.start(t);
    const fleet = ground.connect({ transports: ['websocket'] });
    const received: string[] = [];
    await fleet.subscribe('p', {}, (message) => received.push(message.text())).ready;
    const answers: Promise<unknown>[] = [];
    ground.weather.sse = ground.weather.poll = 'refused';
    for (let i = 0; i < 200; i++) {
      answers.push(fleet.publish('p', String(i)));
      if (i % 20 === 0) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        ground.cut();
        fleet.reconnect();
      }
    }
    await Promise.all(answers);
    await until(() => received.length === 200, 'all');
    assert.deepEqual(
      received,
      Array.from({ length: 200 }, (_, i) => String(i)),
    );
  });

  it('enters, lists and leaves, and enters again after a cut', async (t) => {
    const ground = await Ground.start(t);
    const fleet = ground.connect();
    const room = fleet.presence('room/1');
    await room.enter({ status: 'busy', state: { name: 'Ann' } });
    const members = await room.list();
    assert.deepEqual(
      members.map(({ subject, status, state }) => ({ subject, status, state })),
      [{ subject: 'ann', status: 'busy', state: { name: 'Ann' } }],
    );
    ground.cut();
    fleet.reconnect();
    const { presence } = ground.edges.websocket;
    await until(() => presence.partings.length === 1 && presence.members.size === 1, 'it is back');
    const client = (await room.list()).map((member) => member.client);
    assert.deepEqual(
      client,
      members.map((member) => member.client),
      'as the same client',
    );
    await room.leave();
    assert.deepEqual(await room.list(), []);
    await Promise.all([room.enter(), room.leave()]);
    assert.deepEqual(await room.list(), [], 'who enters and leaves at once is not there');
  });
});
