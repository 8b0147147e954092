import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createMemoryBackbone } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import type { Member, PresenceStatus } from '@pushfleet/core';
import fc from 'fast-check';
import { prefixOf } from './keys.ts';
import { Leases } from './leases.ts';
import { Members } from './members.ts';
import {
  entryOf,
  keyOf,
  listen,
  nameOf,
  newLease,
  openRegister,
  type Published,
  replay,
  team,
} from './testing.ts';

interface Who {
  readonly topic: string;
  readonly subject: string;
  readonly client: string;
}

const topics = ['a', 'a/b', ' c '];
const who: fc.Arbitrary<Who> = fc.record({
  topic: fc.constantFrom(...topics),
  subject: fc.constantFrom('alice', 'al', 'é\0', '{x} y'),
  client: fc.constantFrom('1', '1\u0001', 'two words'),
});
const status = fc.constantFrom<PresenceStatus>('online', 'away', 'busy');
const state = fc.constantFrom(
  { state: Buffer.alloc(0), stateContentType: '' },
  { state: Buffer.from('{"a": [1,\n2]}'), stateContentType: 'application/json' },
  { state: Buffer.from('no json'), stateContentType: 'application/json' },
  { state: Buffer.from('a "text"'), stateContentType: 'text/plain' },
  { state: Buffer.from([0, 1, 255]), stateContentType: 'application/octet-stream' },
);
const instance = fc.constantFrom(0, 1, 2);

interface Wanted {
  readonly who: Who;
  readonly status: PresenceStatus;
  readonly state: State;
  readonly short: boolean;
}

type Step =
  | {
      readonly do: 'put';
      readonly by: number;
      readonly entries: readonly Wanted[];
    }
  | { readonly do: 'leave'; readonly by: number; readonly who: readonly Who[]; readonly linger: boolean }
  | { readonly do: 'end'; readonly by: number }
  | { readonly do: 'expire' };
type State = { readonly state: Uint8Array; readonly stateContentType: string };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      by: instance,
      entries: fc.array(fc.record({ who, status, state, short: fc.boolean() }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('leave' as const),
      by: instance,
      who: fc.array(who, { minLength: 1, maxLength: 4 }),
      linger: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), by: instance }) },
  { weight: 2, arbitrary: fc.constant({ do: 'expire' as const }) },
);

interface Expected {
  readonly holder: string | undefined;
  readonly status: PresenceStatus;
  readonly state: State;
  /** It leaves when time goes on. */
  readonly short: boolean;
}

/** Three instances, and what is to be there after all that they did. */
class Model {
  readonly there = new Map<string, Expected>();
  readonly held: string[] = [];
  readonly #leases: Leases;
  readonly #members: Members;

  constructor(leases: Leases, members: Members) {
    this.#leases = leases;
    this.#members = members;
  }

  async begin(): Promise<void> {
    for (let n = 0; n < 3; n++) await this.#take(n);
  }

  async do(step: Step): Promise<void> {
    if (step.do === 'expire') await this.#expire();
    else if (step.do === 'put') await this.#put(this.held[step.by] as string, step.entries);
    else if (step.do === 'leave') await this.#leave(this.held[step.by] as string, step.who, step.linger);
    else await this.#end(step.by);
  }

  async #take(by: number): Promise<void> {
    this.held[by] = newLease();
    await this.#leases.take(this.held[by] as string, 'test');
  }

  async #expire(): Promise<void> {
    await sleep(2);
    await this.#members.tend(team);
    for (const [name, { short }] of this.there) if (short) this.there.delete(name);
  }

  async #put(holder: string, entries: readonly Wanted[]): Promise<void> {
    const given = entries.map(({ who: { topic, subject, client }, short, status: how, state: what }) =>
      entryOf(keyOf(topic, subject, client), { status: how, ...what, ttlMs: short ? 1 : 0 }),
    );
    const answers = await this.#members.put(holder, team, given);
    assert.ok(answers.every((answer) => !('refused' in answer)));
    for (const { who: key, ...rest } of entries) this.there.set(nameOf(key.topic, key), { holder, ...rest });
  }

  async #leave(holder: string, keys: readonly Who[], linger: boolean): Promise<void> {
    const given = keys.map(({ topic, subject, client }) => keyOf(topic, subject, client));
    await this.#members.leave(holder, team, given, linger ? 1 : 0);
    for (const key of keys) {
      const name = nameOf(key.topic, key);
      const one = this.there.get(name);
      if (one?.holder !== holder) continue;
      if (linger) this.there.set(name, { ...one, holder: undefined, short: true });
      else this.there.delete(name);
    }
  }

  async #end(by: number): Promise<void> {
    const lease = this.held[by] as string;
    await this.#leases.end(lease, 'left');
    await this.#members.release(team, lease, 'left');
    for (const [name, { holder }] of this.there) if (holder === lease) this.there.delete(name);
    await this.#take(by);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('presence against a model', async () => {
  const redis = await startRedis();
  const backbone = createMemoryBackbone();
  const one = await openRegister(redis.url, { backbone });
  // Time goes on where the model says so.
  await one.register.caretaker.close();
  const leases = new Leases(one.store);
  const members = new Members(one.store, leases, { topic: 100, namespace: 100, waiting: 1_000 });
  after(async () => {
    await one.close();
    await redis.stop();
  });

  const compare = async (model: Model, changes: readonly Published[], before: number): Promise<void> => {
    const found: [string, Member][] = [];
    for (const each of topics) {
      for (const member of await one.all(each, { page: 2 })) found.push([nameOf(each, member), member]);
    }
    assert.deepEqual(
      found.map(([name, member]) => [name, member.status, hex(member.state)]).toSorted(),
      [...model.there].map(([name, wanted]) => [name, wanted.status, hex(wanted.state.state)]).toSorted(),
    );
    assert.equal((await members.topics(team, '', 10)).members, model.there.size);
    one.register.announcer.kick(team);
    await until(async () => (await one.store.command('LLEN', `${prefixOf(team)}out`)) === 0, 'the changes');
    const told = one.register.announcer.counts.published - before;
    await until(() => changes.length === told, 'the changes to be heard');
    const there = replay(changes);
    assert.deepEqual([...there.keys()].toSorted(), [...model.there.keys()].toSorted());
    for (const [name, { revision, status: how }] of found) {
      const last = there.get(name);
      assert.deepEqual([last?.revision, last?.status], [revision, how]);
    }
  };

  const run = async (steps: readonly Step[]): Promise<void> => {
    await one.store.command('FLUSHALL');
    const heard = await listen(backbone);
    const before = one.register.announcer.counts.published;
    const model = new Model(leases, members);
    await model.begin();
    for (const each of steps) await model.do(each);
    await compare(model, heard.changes, before);
    heard.stop();
  };

  it('has the members that the model has, and tells of all that happens', { timeout: 240_000 }, async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), run), { numRuns: 100 });
  });
});
