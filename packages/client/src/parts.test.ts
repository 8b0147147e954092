import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import { formatCursor } from '@pushfleet/core';
import { Backoff } from './backoff.ts';
import { reaches } from './cursor.ts';
import { Seen } from './dedupe.ts';
import { newId } from './id.ts';
import { Ladder } from './ladder.ts';
import { ReceivedMessage } from './message.ts';
import { Tokens } from './token.ts';

const at = (
  positions: (number | undefined)[],
  o: { generation?: string; time?: number; read?: boolean } = {},
) => formatCursor({ generation: 'g', time: 1, positions, ...o });

describe('two cursors', () => {
  const pairs: readonly (readonly [string, string, string, boolean | undefined])[] = [
    ['the same', at([5]), at([5]), true],
    ['a later one', at([36]), at([35]), true],
    ['an earlier one', at([35]), at([36]), false],
    ['later in every shard', at([5, 100]), at([5, 99]), true],
    ['later in one shard alone', at([5, 100]), at([6, 99]), false],
    ['of different times', at([5], { time: 1 }), at([5], { time: 9 }), true],
    ['one read from the log', at([5], { read: true }), at([5]), true],
    ['of different generations', at([5]), at([1], { generation: 'h' }), undefined],
    ['of different shards', at([5]), at([5, 5]), undefined],
    ['with a shard that is absent', at([5, undefined]), at([5, 5]), undefined],
    ['of another form', 'x', at([5]), undefined],
  ];
  for (const [what, one, other, wanted] of pairs) {
    it(`${what}: ${wanted}`, () => assert.equal(reaches(one, other), wanted));
  }
});

describe('what was seen', () => {
  it('is remembered for at least so many, and for at most twice as many', () => {
    const seen = new Seen(3);
    for (let i = 0; i < 100; i++) {
      assert.equal(seen.has(String(i)), false);
      seen.add(String(i));
      for (let back = 0; back < Math.min(3, i + 1); back++) assert.ok(seen.has(String(i - back)));
      assert.equal(seen.has(String(i - 6)), false);
    }
  });
});

describe('a back-off', () => {
  it('is drawn between nothing and a bound that doubles up to the most', () => {
    const most = new Backoff(() => 1 - Number.EPSILON);
    const waits = Array.from({ length: 40 }, () => most.next());
    assert.deepEqual(waits.slice(0, 8), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert.equal(waits.at(-1), 30_000);
    most.reset();
    assert.equal(most.next(), 500);
    assert.equal(new Backoff(() => 0).next(), 0);
  });
});

describe('an id', () => {
  it('is a UUIDv7 of the time it was made', () => {
    const now = Date.UTC(2026, 0, 2);
    const id = newId(now);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16), now);
    assert.notEqual(newId(now), id);
  });
});

describe('a ladder of ways', () => {
  it('begins with the one that worked, tries each once a round, and remembers what works', () => {
    const remembered: string[] = [];
    const ladder = new Ladder(['websocket', 'sse', 'poll'], 'sse', (name) => remembered.push(name));
    const tried: string[] = [];
    for (let i = 0; i < 3; i++) {
      tried.push(ladder.pick);
      assert.equal(ladder.failed(ladder.pick), i < 2);
    }
    assert.deepEqual(tried, ['sse', 'websocket', 'poll']);
    assert.equal(ladder.pick, 'sse');
    ladder.worked('poll');
    ladder.worked('poll');
    assert.deepEqual([ladder.pick, remembered], ['poll', ['poll']]);
    assert.deepEqual(ladder.better('poll'), ['websocket', 'sse']);
  });

  it('passes over what was remembered and is not offered', () => {
    assert.equal(new Ladder(['sse', 'poll'], 'websocket', () => {}).pick, 'sse');
  });
});

describe('a message', () => {
  const event = (more: object) => ({
    ...{
      specversion: '1.0',
      id: '1',
      source: 's',
      type: 't',
      subject: 'a/b',
      time: '2026-01-02T03:04:05.000Z',
    },
    ...{ datacontenttype: 'text/plain', pushfleetcursor: 'c', ...more },
  });
  const bytes = Uint8Array.of(0xff, 0, 0x80);

  it('has the attributes of its event', () => {
    const message = new ReceivedMessage(event({ colour: 'red', data: 'x' }), true);
    const { topic, id, source, type, cursor, contentType, retained, time, attributes } = message;
    assert.deepEqual(
      { topic, id, source, type, cursor, contentType, retained, time: time.getTime(), attributes },
      {
        ...{
          topic: 'a/b',
          id: '1',
          source: 's',
          type: 't',
          cursor: 'c',
          contentType: 'text/plain',
          retained: true,
        },
        ...{ time: Date.UTC(2026, 0, 2, 3, 4, 5), attributes: { colour: 'red' } },
      },
    );
  });

  it('has what CloudEvents had no place for', () => {
    const { source, time, attributes } = new ReceivedMessage(
      event({
        ...{
          source: 'a%20b',
          pushfleetsource: 'a b',
          time: '2020-01-01T00:00:00Z',
          pushfleettime: '2026-01-02T03:04:05Z',
        },
        pushfleetattributes: JSON.stringify([['Not Legal', 'x']]),
      }),
      false,
    );
    assert.deepEqual(
      [source, time.getTime(), attributes],
      ['a b', Date.UTC(2026, 0, 2, 3, 4, 5), { time: '2020-01-01T00:00:00Z', 'Not Legal': 'x' }],
    );
  });

  const payloads: readonly (readonly [string, object, Uint8Array | undefined, string, unknown])[] = [
    ['JSON', { datacontenttype: 'application/json', data: { a: [1] } }, undefined, '{"a":[1]}', { a: [1] }],
    ['a JSON text', { datacontenttype: 'application/vnd.x+json; v=1', data: 'x' }, undefined, '"x"', 'x'],
    ['JSON null', { datacontenttype: 'application/json', data: null }, undefined, 'null', null],
    ['a text that is JSON', { data: '{"a":1}' }, undefined, '{"a":1}', { a: 1 }],
    ['base64', { datacontenttype: 'application/json', data_base64: btoa('[1]') }, undefined, '[1]', [1]],
    ['bytes', { datacontenttype: 'application/octet-stream' }, new TextEncoder().encode('7'), '7', 7],
  ];
  for (const [what, more, given, text, json] of payloads) {
    it(`reads ${what}`, () => {
      const message = new ReceivedMessage(event(more), false, given);
      assert.deepEqual([message.text(), message.json()], [text, json]);
      assert.deepEqual(message.bytes(), new TextEncoder().encode(text));
    });
  }

  it('reads bytes that are no text, and nothing', () => {
    const encoded = btoa(String.fromCharCode(...bytes));
    assert.deepEqual(new ReceivedMessage(event({ data_base64: encoded }), false).bytes(), bytes);
    assert.deepEqual(new ReceivedMessage(event({}), false, bytes).bytes(), bytes);
    const nothing = new ReceivedMessage(event({}), false);
    assert.deepEqual([nothing.text(), nothing.bytes().length], ['', 0]);
    assert.throws(() => nothing.json(), SyntaxError);
  });

  it('is none without its attributes', () => {
    for (const name of ['id', 'subject', 'source', 'type', 'datacontenttype', 'pushfleetcursor']) {
      assert.throws(() => new ReceivedMessage(event({ [name]: undefined }), false), TypeError);
    }
  });
});

describe('tokens', () => {
  const jwt = (seconds: number) => `h.${btoa(JSON.stringify({ exp: seconds, n: Math.random() }))}.s`;

  it('are asked for once, and again when a fifth of their life is left', async () => {
    const clock = new SimulatedClock();
    let asked = 0;
    const tokens = new Tokens(async () => {
      asked++;
      return jwt(clock.now() / 1_000 + 100);
    }, clock);
    const [one, other] = await Promise.all([tokens.get(), tokens.get()]);
    assert.deepEqual([one, asked], [other, 1]);
    assert.equal(tokens.renewAt - clock.now(), 80_000);
    await clock.advance(79_999);
    assert.equal(await tokens.get(), one);
    await clock.advance(1);
    assert.notEqual(await tokens.get(), one);
    assert.equal(asked, 2);
  });

  it('are renewed a minute before their end where they live long', async () => {
    const clock = new SimulatedClock();
    const tokens = new Tokens(() => jwt(clock.now() / 1_000 + 86_400), clock);
    await tokens.get();
    assert.equal(tokens.renewAt - clock.now(), 86_340_000);
  });

  it('are asked for once more after a refusal, and then no more until one was taken', async () => {
    const clock = new SimulatedClock();
    let asked = 0;
    const tokens = new Tokens(() => `token ${++asked}`, clock);
    const first = await tokens.get();
    assert.ok(tokens.refused(first));
    assert.ok(tokens.refused(first), 'another connection was refused the same one');
    const second = await tokens.get();
    assert.notEqual(second, first);
    assert.equal(tokens.refused(second), false);
    tokens.accepted();
    assert.ok(tokens.refused(await tokens.get()));
  });

  it('that are no function are used until they are refused', async () => {
    const clock = new SimulatedClock();
    const tokens = new Tokens(jwt(clock.now() / 1_000 - 5), clock);
    const token = await tokens.get();
    assert.equal(tokens.renewAt, Number.POSITIVE_INFINITY);
    assert.equal(tokens.refused(token), false);
  });

  it('of a function that fails are an error that passes', async () => {
    const clock = new SimulatedClock();
    const fails = new Tokens(() => Promise.reject(new Error('away')), clock);
    await assert.rejects(fails.get(), { code: 'unavailable', retryable: true });
    await assert.rejects(new Tokens(() => '', clock).get(), { code: 'unavailable' });
  });
});
