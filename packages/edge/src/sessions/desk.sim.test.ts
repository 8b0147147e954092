import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { forSeeds, type Random, SimulatedClock } from '@pushfleet/contract/simulation';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import { SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Desk } from './desk.ts';
import type { OwnedSession, SessionKeeper } from './owned.ts';
import { type Mishap, TestRegistry } from './testing-registry.ts';

const ids = ['a', 'b', 'c', 'd'];
const instances = ['one', 'two', 'three'];
const key = (id: string) => ({ namespace: 'n', protocol: 'mqtt', id });
/** How long the registry misbehaves, and how long all is given to come to rest, in milliseconds. */
const troubleMs = 12_000;
const restMs = 100_000;

/** What is known of a session beyond its owners: the newest value that somebody was told is stored. */
interface Truth {
  confirmed: number;
  next: number;
}

/** A connection that has a session, says a growing value of it, and checks what it is told. */
class Connection implements SessionKeeper {
  readonly #truth: Truth;
  readonly #random: Random;
  owned: OwnedSession | undefined;
  value: number;
  isLost = false;
  hasLeft = false;
  waits = 0;
  #told = -1;

  constructor(truth: Truth, random: Random) {
    this.#truth = truth;
    this.#random = random;
    this.value = truth.confirmed;
  }

  state(whole: boolean): ReturnType<SessionKeeper['state']> {
    assert.ok(!this.isLost, 'asked for the state of a session that was lost');
    const isTold = !whole && this.#told === this.value;
    this.#told = this.value;
    return { cursor: undefined, fields: isTold ? {} : { value: Buffer.from(`${this.value}`) } };
  }

  onLost(): void {
    assert.ok(!this.isLost, 'told twice');
    assert.ok(!this.hasLeft, 'told after it has left');
    this.isLost = true;
  }

  step(): void {
    const { owned } = this;
    if (owned === undefined || this.isLost || this.hasLeft) return;
    const value = this.#truth.next++;
    this.value = value;
    if (this.#random.chance(0.3)) {
      owned.commitSoon();
      return;
    }
    this.waits++;
    owned.commit().then(
      () => {
        this.waits--;
        this.#truth.confirmed = Math.max(this.#truth.confirmed, value);
      },
      () => {
        this.waits--;
      },
    );
  }
}

/** One registry that misbehaves for a while, and instances whose connections take sessions from one another. */
class Fleet {
  readonly clock = new SimulatedClock();
  readonly #random: Random;
  readonly #truths = new Map(ids.map((id) => [id, { confirmed: 0, next: 1 }]));
  readonly #desks: Desk[];
  readonly registry: TestRegistry;
  readonly connections: { readonly id: string; readonly connection: Connection }[] = [];
  isTroubled = true;
  #arriving = 0;

  constructor(random: Random) {
    this.#random = random;
    const backbone = createMemoryBackbone({ clock: this.clock });
    this.registry = new TestRegistry({
      ...{
        clock: this.clock,
        signals: { ask: (...question) => this.#ask(backbone.signals.ask(...question)) },
      },
      onCall: () => this.#mishap(),
      onCommit: () =>
        this.isTroubled && random.chance(0.05)
          ? SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE
          : undefined,
    });
    this.#desks = instances.map((instance) => {
      const desk = new Desk({
        ...{ protocol: 'mqtt', instance, calls: this.registry.calls(instance), signals: backbone.signals },
        ...{ patienceMs: 5_000, clock: this.clock, random: () => random.next(), behind: queueMicrotask },
        log: { warn: () => {}, info: () => {} },
      });
      desk.start();
      return desk;
    });
  }

  act(): void {
    const random = this.#random;
    if (random.chance(0.03)) this.#arrive(random.pick(ids), random.pick(this.#desks));
    if (random.chance(0.002)) this.registry.loseHot();
    const one = this.connections.length > 0 ? random.pick(this.connections) : undefined;
    if (one === undefined) return;
    if (random.chance(0.03)) this.#leave(one.connection);
    else one.connection.step();
  }

  /** Nobody waits for ever, the registry and the desks agree on owners, and what was confirmed was not undone. */
  check(): void {
    assert.equal(this.#arriving, 0, 'an acquisition is still waited for');
    for (const { connection } of this.connections)
      assert.equal(connection.waits, 0, 'a commit is waited for');
    for (const id of ids) {
      const record = this.registry.record(key(id));
      const holders = this.connections.filter(
        (one) => one.id === id && !one.connection.isLost && !one.connection.hasLeft && one.connection.owned,
      );
      assert.ok(holders.length <= 1, `${id} has ${holders.length} holders`);
      const [holder] = holders;
      assert.equal(record?.owner !== undefined, holder !== undefined, `who has ${id}`);
      if (holder !== undefined) {
        assert.equal(holder.connection.owned?.record.generation, record?.generation);
        const stored = this.registry.state(key(id))?.fields.value?.toString();
        if (stored !== undefined)
          assert.equal(stored, `${holder.connection.value}`, `what is stored of ${id}`);
      }
    }
  }

  #arrive(id: string, desk: Desk): void {
    const truth = this.#truths.get(id) as Truth;
    const connection = new Connection(truth, this.#random);
    this.#arriving++;
    const claim = { namespace: 'n' as Namespace, id, subject: 's', clean: false, expirySeconds: 100_000 };
    desk.acquire(claim, connection).then(
      (owned) => {
        this.#arriving--;
        connection.owned = owned;
        const kept = Number(owned.state?.fields.value ?? -1);
        // The index may have lost it, but never has less than what was confirmed.
        if (kept >= 0) {
          assert.ok(kept >= truth.confirmed, `${id} has ${kept}, and had ${truth.confirmed}`);
          connection.value = kept;
        }
        this.connections.push({ id, connection });
      },
      (error: unknown) => {
        this.#arriving--;
        assert.ok(error instanceof PushfleetError);
      },
    );
  }

  #leave(connection: Connection): void {
    if (connection.owned === undefined || connection.isLost || connection.hasLeft) return;
    connection.hasLeft = true;
    connection.owned.release({}).catch(() => {});
  }

  /** A question may be lost, as one over a broken connection is. */
  async #ask(asked: Promise<void>): Promise<void> {
    if (!this.isTroubled || this.#random.chance(0.8)) await asked;
  }

  #mishap(): Mishap | undefined {
    const random = this.#random;
    const beforeMs = random.below(20);
    if (!this.isTroubled || random.chance(0.8)) return { beforeMs, afterMs: random.below(20) };
    const refused = new PushfleetError('unavailable', 'It is away.');
    return random.pick<Mishap>([
      { refused },
      { unheard: refused, beforeMs },
      { beforeMs: 4_000 + random.below(8_000) },
      { afterMs: 4_000 + random.below(3_000) },
    ]);
  }
}

it('one owner each, nobody waits for ever and nothing confirmed is undone, whatever the registry does', async () => {
  await forSeeds(50, async (random) => {
    const fleet = new Fleet(random);
    for (let ms = 0; ms < troubleMs; ms += 20) {
      fleet.act();
      await fleet.clock.advance(20);
    }
    fleet.isTroubled = false;
    await fleet.clock.advance(restMs);
    fleet.check();
  });
});
