import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forSeeds, type Random } from '@pushfleet/contract/simulation';
import { PushfleetError, unreachable } from './errors.ts';
import { type EnterOptions, Rooms } from './presence.ts';
import type { Subscription } from './subscription.ts';
import type { Request } from './transport.ts';

type Asked = EnterOptions & { readonly action: string; readonly topic: string };

interface Call {
  readonly asked: Asked;
  answer(): void;
  refuse(error: PushfleetError): void;
}

/** One connection, whose answers a test gives; who is there by it. */
class Connection {
  readonly calls: Call[] = [];
  readonly members = new Map<string, unknown>();
  ended = false;

  readonly request: Request = (message) => {
    if (this.ended) return Promise.reject(unreachable('ended'));
    return new Promise((resolve, reject) => {
      const asked = message as Asked;
      const call: Call = {
        asked,
        answer: () => {
          if (asked.action === 'enter') this.members.set(asked.topic, asked.state);
          if (asked.action === 'leave') this.members.delete(asked.topic);
          this.#done(call);
          resolve({
            members: [...this.members.keys()].filter((topic) => topic === asked.topic).map(memberOf),
          });
        },
        refuse: (error) => {
          this.#done(call);
          reject(error);
        },
      };
      this.calls.push(call);
    });
  };

  #done(call: Call): void {
    this.calls.splice(this.calls.indexOf(call), 1);
  }

  end(): void {
    this.ended = true;
    this.members.clear();
    for (const call of [...this.calls]) call.refuse(unreachable('ended'));
  }
}

const memberOf = () => ({ subject: 's', client: 'c', status: 'online', since: 0, changed: 0 });
const forbidden = new PushfleetError('forbidden', 'no');
const busy = new PushfleetError('unavailable', 'later');
/** Lets what is ready run. */
const rest = () => new Promise<void>((resolve) => setImmediate(resolve));
const ignore = () => {};

/** Rooms whose connections come and go as a test says. */
class House {
  connection = new Connection();
  readonly errors: string[] = [];
  wanted = false;
  readonly rooms = new Rooms({
    client: 'c',
    request: async () => this.connection.request,
    subscribe: () => ({}) as Subscription,
    onWanted: (wanted) => {
      this.wanted = wanted;
    },
    onError: ({ code }) => this.errors.push(code),
  });

  /** Another connection takes over, as Client does it. */
  reconnect(): void {
    this.connection.end();
    this.connection = new Connection();
    void this.rooms.enterAgain(this.connection.request);
  }

  get asked(): readonly string[] {
    return this.connection.calls.map(({ asked }) => `${asked.action} ${asked.topic}`);
  }

  async answer(error?: PushfleetError): Promise<void> {
    await rest();
    const [call] = this.connection.calls;
    if (error === undefined) call?.answer();
    else call?.refuse(error);
    await rest();
  }

  async answerAll(): Promise<void> {
    for (await rest(); this.connection.calls.length > 0; ) await this.answer();
  }
}

test('who enters and leaves at once is not there in the end, and wants no connection any more', async () => {
  const house = new House();
  const room = house.rooms.room('r');
  const [entered, left, listed] = [room.enter(), room.leave(), room.list()];
  await rest();
  assert.deepEqual([house.asked, house.wanted], [['enter r'], true], 'one is under way at a time');
  await house.answer();
  assert.deepEqual(house.asked, ['leave r']);
  await house.answerAll();
  await Promise.all([entered, left]);
  assert.deepEqual([await listed, house.wanted], [[], false]);
  await room.leave();
  assert.deepEqual(house.asked, [], 'nothing is left to leave');
});

test('topics do not wait for each other', async () => {
  const house = new House();
  for (const topic of ['a', 'b']) void house.rooms.room(topic).enter();
  await rest();
  assert.deepEqual(house.asked, ['enter a', 'enter b']);
});

test('a room that was left while others are entered again stays so', async () => {
  const house = new House();
  for (const topic of ['a', 'b', 'c']) void house.rooms.room(topic).enter();
  await house.answerAll();
  house.reconnect();
  await rest();
  assert.deepEqual(house.asked, ['enter a']);
  void house.rooms.room('b').leave();
  await house.answerAll();
  assert.deepEqual([...house.connection.members.keys()], ['a', 'c']);
});

test('what entered by the new connection is not entered again', async () => {
  const house = new House();
  const entered = house.rooms.room('a').enter({ state: 1 });
  void house.rooms.enterAgain(house.connection.request);
  await house.answer();
  await entered;
  assert.deepEqual(house.asked, []);
});

test('a refusal leaves all as it was', async () => {
  const house = new House();
  const room = house.rooms.room('r');
  const first = assert.rejects(room.enter({ state: 1 }), { code: 'forbidden' });
  await house.answer(forbidden);
  await first;
  assert.equal(house.wanted, false);
  void room.enter({ state: 2 });
  await house.answer();
  const others = [3, 4].map((state) => assert.rejects(room.enter({ state }), { code: 'forbidden' }));
  await house.answer(forbidden);
  await house.answer(forbidden);
  await Promise.all(others);
  house.reconnect();
  await house.answerAll();
  assert.deepEqual([...house.connection.members], [['r', 2]]);
  house.reconnect();
  await house.answer(forbidden);
  assert.deepEqual([house.errors, house.wanted], [['forbidden'], false]);
});

test('what failed in passing is entered by the next connection, until it is left', async () => {
  const house = new House();
  const room = house.rooms.room('r');
  const entered = assert.rejects(room.enter(), { code: 'unavailable' });
  await house.answer(busy);
  await entered;
  house.reconnect();
  await house.answerAll();
  assert.deepEqual([...house.connection.members.keys()], ['r']);
  const left = assert.rejects(room.leave(), { code: 'unavailable' });
  await house.answer(busy);
  await left;
  void room.leave();
  await house.answerAll();
  assert.deepEqual([house.connection.members.size, house.wanted], [0, false]);
});

const topics = ['a', 'b', 'c'];

async function play(random: Random): Promise<void> {
  const house = new House();
  const wanted = new Map<string, number>();
  for (let i = 0; i < 60; i++) {
    const topic = random.pick(topics);
    const room = house.rooms.room(topic);
    const kind = random.below(8);
    if (kind < 2) {
      wanted.set(topic, i);
      room.enter({ state: i }).catch(ignore);
    } else if (kind < 4) {
      wanted.delete(topic);
      room.leave().catch(ignore);
    } else if (kind === 4) room.list().catch(ignore);
    else if (kind === 5 && random.chance(0.3)) house.reconnect();
    else if (house.connection.calls.length > 0) random.pick(house.connection.calls).answer();
    if (random.chance(0.5)) await rest();
  }
  await house.answerAll();
  assert.deepEqual(new Map([...house.connection.members].sort()), new Map([...wanted].sort()));
  assert.equal(house.wanted, wanted.size > 0);
}

test('whatever is called and cut when, who is there in the end is who was to be', () =>
  forSeeds(1_000, play));
