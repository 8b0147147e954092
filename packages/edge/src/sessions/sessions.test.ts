import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connectJetStream } from '@pushfleet/bus';
import { type Servers, type ServiceProcess, startServers, until } from '@pushfleet/contract';
import type { Namespace } from '@pushfleet/core';
import { createFleet, createLog, createSessionCalls, readConfig, registryFields } from '@pushfleet/runtime';
import { sessionFields } from '../fields.ts';
import { secret } from '../testing.ts';
import { startProxy } from '../testing-presence.ts';
import type { Loss, OwnedSession, SessionClaim, SessionKeeper } from './owned.ts';
import { createSessions, type Sessions } from './sessions.ts';

/** Keeps one number. */
class Keeper implements SessionKeeper {
  value = 0;
  readonly lost: string[] = [];
  wholes = 0;

  state(whole: boolean): ReturnType<SessionKeeper['state']> {
    if (whole) this.wholes++;
    return { cursor: undefined, fields: { value: Buffer.from(`${this.value}`), gone: undefined } };
  }

  onLost(reason: Loss): void {
    this.lost.push(reason);
  }
}

const valueIn = ({ state }: OwnedSession): number => Number(state?.fields.value?.toString());

describe('sessions over a real registry', () => {
  let servers: Servers;
  let registries: ServiceProcess[];
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  const ends: (() => Promise<void>)[] = [];

  const config = () =>
    readConfig(
      { ...registryFields, ...sessionFields },
      { PUSHFLEET_TOKEN_SECRET: secret, PUSHFLEET_REGISTRY_URL: proxy.url },
    );

  /** An instance of the fleet as far as sessions go. */
  async function instance(): Promise<Sessions> {
    const backbone = connectJetStream({ servers: servers.nats.url, name: 'test' });
    const fleet = createFleet(backbone.signals, { service: 'test', protocol: 'test' });
    const sessions = createSessions(config(), {
      ...{ name: 'test', protocol: 'test', instance: fleet.instance, signals: backbone.signals },
      log: createLog({ name: 'test', level: 'silent' }),
    });
    assert.ok(sessions);
    const parts = [backbone, fleet, sessions];
    for (const one of parts) await one.start();
    ends.push(async () => {
      for (const one of parts.reverse()) await one.close();
    });
    return sessions;
  }

  async function hold(sessions: Sessions, id: string, over: Partial<SessionClaim> = {}) {
    const keeper = new Keeper();
    const claim = { namespace: 'n' as Namespace, id, subject: 'ann', clean: false, expirySeconds: 600 };
    return { keeper, owned: await sessions.acquire({ ...claim, ...over }, keeper) };
  }

  before(async () => {
    servers = await startServers({ secret });
    registries = await Promise.all([servers.start('registry'), servers.start('registry')]);
    proxy = await startProxy(() => registries.map(({ addresses }) => addresses.grpc as string));
  });
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
  });
  after(async () => {
    proxy?.close();
    await servers?.stop();
  });

  it('are kept, taken over by another instance, changed and ended', async () => {
    const [one, other] = [await instance(), await instance()];
    const first = await hold(one, 'over');
    assert.equal(first.owned.resumed, false);
    first.keeper.value = 7;
    await first.owned.commit();
    const second = await hold(other, 'over');
    assert.deepEqual(first.keeper.lost, ['taken']);
    assert.ok(second.owned.resumed);
    assert.equal(valueIn(second.owned), 7);
    await assert.rejects(first.owned.commit(), { code: 'conflict' });
    const filter = { filter: 'a/#', options: Buffer.from('x'), startCursor: '', group: '', groupId: '' };
    await second.owned.update({ addFilters: [filter] });
    second.keeper.value = 8;
    second.owned.commitSoon();
    await second.owned.release({});
    const third = await hold(one, 'over');
    assert.equal(valueIn(third.owned), 8);
    assert.deepEqual(
      third.owned.record.filters.map(({ filter: name }) => name),
      ['a/#'],
    );
    await third.owned.end({ discardWill: true });
    assert.equal((await hold(other, 'over')).owned.resumed, false);
  });

  it('go on when Redis has lost what it held', async () => {
    const sessions = await instance();
    const held = await Promise.all(Array.from({ length: 300 }, (_, n) => hold(sessions, `wiped ${n}`)));
    await Promise.all(held.map(({ owned }) => owned.commit()));
    await servers.redis.restart({ empty: true });
    for (const { keeper } of held) keeper.value = 5;
    await Promise.all(held.map(({ owned }) => owned.commit()));
    assert.ok(held.every(({ keeper }) => keeper.wholes > 0));
    await Promise.all(held.map(({ owned }) => owned.release({})));
    const again = await hold(await instance(), 'wiped 299');
    assert.equal(valueIn(again.owned), 5);
  });

  it('go on when a registry is killed, and nothing that was stored is undone', async () => {
    const sessions = await instance();
    const held = await Promise.all(Array.from({ length: 100 }, (_, n) => hold(sessions, `killed ${n}`)));
    let isOver = false;
    const writing = held.map(async ({ owned, keeper }) => {
      while (!isOver) {
        keeper.value++;
        await owned.commit();
      }
    });
    for (let round = 0; round < 2; round++) {
      const [killed] = registries.splice(0, 1);
      await killed?.kill('SIGKILL');
      const { value } = held[0]?.keeper ?? assert.fail();
      await until(() => (held[0]?.keeper.value ?? 0) > value + 5, 'commits go on');
      registries.push(await servers.start('registry'));
    }
    isOver = true;
    await Promise.all(writing);
    assert.ok(held.every(({ keeper }) => keeper.lost.length === 0));
    const other = await instance();
    const taken = await Promise.all(held.map((_, n) => hold(other, `killed ${n}`)));
    for (const [n, { owned }] of taken.entries()) assert.equal(valueIn(owned), held[n]?.keeper.value);
    assert.ok(held.every(({ keeper }) => keeper.lost.length === 1));
  });

  it('whose acquisition was not heard of are given back', async () => {
    const sessions = await instance();
    const asked = Array.from({ length: 100 }, (_, n) => hold(sessions, `stray ${n}`));
    const cutting = setInterval(() => proxy.cut(), 20);
    const settled = await Promise.allSettled(asked);
    clearInterval(cutting);
    const heard = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    await Promise.all(heard.map(({ owned }) => owned.release({})));
    const calls = createSessionCalls(config(), { name: 'test' }) ?? assert.fail();
    const isOwned = async (_: unknown, n: number): Promise<boolean> => {
      const record = await calls.get({ namespace: 'n', protocol: 'test', id: `stray ${n}` });
      return record?.owner !== undefined;
    };
    let owned = 100;
    const count = async (): Promise<void> => {
      owned = (await Promise.all(asked.map(isOwned))).filter((is) => is).length;
      if (owned > 0) await setTimeout(200).then(count);
    };
    await Promise.race([count(), setTimeout(30_000, undefined, { ref: false })]);
    calls.close();
    assert.equal(owned, 0);
  });
});
