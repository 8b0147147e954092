import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Namespace, Signals } from '@pushfleet/core';
import fc from 'fast-check';
import { createFleet, type Fleet, type FleetOptions, type Usage } from './fleet.ts';
import { readAnswer, readSign, writeSigns } from './fleet-message.ts';

const shop = 'shop' as Namespace;
const none: Usage = { connections: 0, subscriptions: 0, published: 0 };

/** Signals of several instances in this process; each can be cut off. */
class Air {
  readonly #hearing = new Set<readonly [at: string, name: string, on: (value: unknown) => void]>();
  readonly #answering = new Set<readonly [at: string, name: string, on: (value: unknown) => unknown]>();
  readonly cut = new Set<string>();
  /** Every value told, as JSON. */
  readonly told: string[] = [];

  at(place: string): Signals {
    const add = <T>(set: Set<T>, entry: T) => {
      set.add(entry);
      return () => void set.delete(entry);
    };
    return {
      tell: (name, value) => {
        if (this.cut.has(place)) return;
        const text = JSON.stringify(value);
        this.told.push(text);
        for (const [at, of, on] of this.#hearing) if (of === name && !this.cut.has(at)) on(JSON.parse(text));
      },
      hear: (name, on) => add(this.#hearing, [place, name, on]),
      answer: (name, on) => add(this.#answering, [place, name, on]),
      ask: (name, question, waitMs, on) => this.#ask({ place, name, question, waitMs, on }),
      onReturn: () => () => undefined,
    };
  }

  #ask(o: {
    place: string;
    name: string;
    question: unknown;
    waitMs: number;
    on: (answer: unknown) => boolean;
  }): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, o.waitMs);
    for (const [at, of, answer] of this.#answering) {
      if (of !== o.name || this.cut.has(at) || this.cut.has(o.place)) continue;
      void Promise.resolve(answer(o.question)).then((value) => {
        if (value !== undefined && o.on(JSON.parse(JSON.stringify(value)))) resolve();
      });
    }
    return promise;
  }
}

/** Instances on one air, with time that passes when told. */
function scene(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  const air = new Air();
  const add = async (place: string, options: Partial<FleetOptions> = {}): Promise<Fleet> => {
    const fleet = createFleet(air.at(place), { service: place, ...options });
    await fleet.start();
    t.after(() => fleet.close());
    return fleet;
  };
  const pass = (seconds: number) => {
    for (let i = 0; i < seconds; i++) t.mock.timers.tick(1_000);
  };
  return { air, add, pass };
}

const services = (fleet: Fleet) =>
  fleet
    .instances()
    .map(({ service }) => service)
    .sort();
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Whether the promise has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await settle();
  return settled;
}

describe('who runs', () => {
  test('instances hear of each other, with protocol; a new one within a second', async (t) => {
    const { add, pass } = scene(t);
    const one = await add('publish', { protocol: 'grpc' });
    const two = await add('edge');
    assert.deepEqual(services(one), ['edge', 'publish']);
    assert.deepEqual(services(two), ['edge']);
    pass(1);
    assert.deepEqual(services(two), ['edge', 'publish']);
    assert.equal(two.instances().find(({ service }) => service === 'publish')?.protocol, 'grpc');
    assert.notEqual(one.instance, two.instance);
  });

  test('who says goodbye is forgotten at once, who falls silent after five seconds', async (t) => {
    const { air, add, pass } = scene(t);
    const one = await add('one');
    const two = await add('two');
    await add('three');
    await two.close();
    assert.deepEqual(services(one), ['one', 'three']);
    pass(1);
    air.cut.add('three');
    pass(4);
    assert.deepEqual(services(one), ['one', 'three']);
    pass(1);
    assert.deepEqual(services(one), ['one']);
  });

  test('who is cut off itself forgets nobody', async (t) => {
    const { air, add, pass } = scene(t);
    const one = await add('one');
    await add('two', { usage: () => [[shop, { ...none, connections: 3 }]] });
    pass(1);
    air.cut.add('one');
    pass(60);
    assert.deepEqual(services(one), ['one', 'two']);
    assert.equal(one.elsewhere(shop).connections, 3);
  });
});

describe('what is used elsewhere', () => {
  test('is the sum over the others, as they last said', async (t) => {
    const { add, pass } = scene(t);
    let used: Usage = { connections: 2, subscriptions: 5, published: 1.25 };
    const one = await add('one', { usage: () => [[shop, { ...none, connections: 100 }]] });
    const two = await add('two', { usage: () => [[shop, used]] });
    const three = await add('three', { usage: () => [[shop, { ...none, connections: 1 }]] });
    pass(1);
    assert.deepEqual(one.elsewhere(shop), { connections: 3, subscriptions: 5, published: 1.3 });
    assert.equal(two.elsewhere(shop).connections, 101);
    used = none;
    pass(1);
    assert.deepEqual(one.elsewhere(shop), { ...none, connections: 1 });
    await three.close();
    assert.deepEqual(one.elsewhere(shop), none);
    assert.deepEqual(one.elsewhere('other' as Namespace), none);
  });

  test('is told in parts where many namespaces use something, and shrinks again', async (t) => {
    const { air, add, pass } = scene(t);
    const name = (i: number) => `${'n'.repeat(60)}${String(i).padStart(4, '0')}` as Namespace;
    let count = 1_000;
    const one = await add('one');
    await add('two', {
      usage: () =>
        Array.from({ length: count }, (_, i) => [
          name(i),
          { connections: 1e12, subscriptions: 1e12, published: 999_999_999.9 },
        ]),
    });
    for (const i of [0, 399, 400, 999]) assert.equal(one.elsewhere(name(i)).connections, 1e12);
    assert.ok(air.told.every((text) => Buffer.byteLength(text) <= 65_536));
    count = 400;
    pass(1);
    assert.equal(one.elsewhere(name(399)).connections, 1e12);
    assert.equal(one.elsewhere(name(400)).connections, 0);
  });
});

describe('asking', () => {
  test('ends when every instance that is known to answer has', async (t) => {
    const { add, pass } = scene(t);
    const one = await add('one');
    for (const place of ['two', 'three']) {
      const fleet = await add(place);
      fleet.answer('feeds', (question) => [place, question]);
    }
    await add('mute');
    pass(2);
    const answers = await one.ask<[string, unknown]>('feeds', { topic: 'a' });
    assert.deepEqual(answers.map(({ from, answer }) => [from.service, ...answer]).sort(), [
      ['three', 'three', { topic: 'a' }],
      ['two', 'two', { topic: 'a' }],
    ]);
  });

  test('one that has nothing to say is not waited for; one that vanished is, until the deadline', async (t) => {
    const { air, add, pass } = scene(t);
    const one = await add('one');
    one.answer('explain', () => 'here');
    const two = await add('two');
    two.answer('explain', async () => undefined);
    pass(2);
    assert.deepEqual(
      (await one.ask('explain', {})).map(({ answer }) => answer),
      ['here'],
    );
    air.cut.add('two');
    const asked = one.ask('explain', {}, 700);
    assert.equal(await isSettled(asked), false);
    t.mock.timers.tick(700);
    assert.equal((await asked).length, 1);
  });

  test('one that has just started waits for whom it has not heard of yet', async (t) => {
    const { add, pass } = scene(t);
    const old = await add('old');
    old.answer('feeds', () => 1);
    pass(1);
    const fresh = await add('fresh');
    fresh.answer('feeds', () => 2);
    const asked = fresh.ask('feeds', {});
    assert.equal(await isSettled(asked), false, 'it knows of itself alone, and waits');
    pass(1);
    assert.deepEqual((await asked).map(({ answer }) => answer).sort(), [1, 2]);
    pass(1);
    assert.equal(await isSettled(fresh.ask('feeds', {})), true);
  });

  test('after a lost connection it waits again until it has heard everybody', async (t) => {
    const { air, add, pass } = scene(t);
    const one = await add('one');
    one.answer('feeds', () => 1);
    pass(2);
    assert.equal(await isSettled(one.ask('feeds', {})), true);
    air.cut.add('one');
    pass(2);
    air.cut.delete('one');
    pass(1);
    assert.equal(await isSettled(one.ask('feeds', {})), false);
    pass(2);
    assert.equal(await isSettled(one.ask('feeds', {})), true);
  });

  test('a name is answered once', async (t) => {
    const { add } = scene(t);
    const one = await add('one');
    one.answer('feeds', () => 1);
    assert.throws(() => one.answer('feeds', () => 2), /already/);
  });
});

describe('what others send', () => {
  test('is not believed where it is wrong', async (t) => {
    const { air, add } = scene(t);
    const one = await add('one');
    const right = { instance: 'x', service: 's', answers: [], part: 0, parts: 1, usage: {} };
    const wrong: unknown[] = [
      null,
      7,
      'x',
      [right],
      { ...right, instance: '' },
      { ...right, instance: 'a b' },
      { ...right, service: undefined },
      { ...right, protocol: 3 },
      { ...right, answers: 'feeds' },
      { ...right, answers: Array(33).fill('a') },
      { ...right, part: 1 },
      { ...right, parts: 26 },
      { ...right, part: -1 },
      { ...right, usage: [] },
      { ...right, usage: { a: [-1, 0, 0] } },
      { ...right, usage: { a: [0, 0, '7'] } },
      { ...right, usage: { a: [0, 0] } },
      { ...right, usage: { a: 7 } },
      { ...right, usage: { 'a/b': [0, 0, 0] } },
      { ...right, usage: Object.fromEntries(Array.from({ length: 401 }, (_, i) => [`n${i}`, [0, 0, 0]])) },
      { gone: true },
    ];
    for (const value of wrong) air.at('stranger').tell('instances', value);
    assert.deepEqual(services(one), ['one']);
    air.at('stranger').tell('instances', right);
    assert.deepEqual(services(one), ['one', 's']);
  });

  test('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        readSign(value);
        readAnswer(value);
      }),
    );
  });

  test('comes back as it was told', () => {
    const amount = fc.integer({ min: 0, max: 1_000 });
    const usage = fc.array(
      fc.tuple(
        fc.oneof(fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), fc.constant('__proto__')),
        fc.record(
          { connections: amount, subscriptions: amount, published: amount },
          { noNullPrototype: true },
        ),
      ),
      { maxLength: 900 },
    );
    fc.assert(
      fc.property(usage, (given) => {
        const wanted = new Map(given as [Namespace, Usage][]);
        const signs = writeSigns({ instance: 'i', service: 's' }, ['q'], wanted);
        const read = new Map<Namespace, Usage>();
        for (const value of JSON.parse(JSON.stringify(signs))) {
          const sign = readSign(value);
          assert.ok(sign !== undefined && !('gone' in sign));
          for (const [namespace, of] of sign.usage) read.set(namespace, of);
        }
        for (const [namespace, of] of wanted) assert.deepEqual(read.get(namespace) ?? none, of);
      }),
    );
  });
});
