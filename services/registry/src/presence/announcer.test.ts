import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import { type Backbone, type Bus, PushfleetError } from '@pushfleet/core';
import { entryOf, keyOf, listen, openRegister, replay, type TestRegister } from './testing.ts';

/** The log, with something in the way of what is published. */
const through = (backbone: Backbone, publish: (bus: Bus) => Bus['publish']): Pick<Backbone, 'bus'> => ({
  bus(namespace) {
    const bus = backbone.bus(namespace);
    return Object.assign(Object.create(bus), { publish: publish(bus) });
  },
});
const away = () => new PushfleetError('unavailable', 'The log is out of reach.');

describe('changes of presence on their way to the log', async () => {
  const redis = await startRedis();
  const open: TestRegister[] = [];
  let backbone: MemoryBackbone;
  const opened = async (o: Parameters<typeof openRegister>[1] = {}): Promise<TestRegister> => {
    const one = await openRegister(redis.url, { backbone, ...o });
    open.push(one);
    return one;
  };
  const close = () => Promise.all(open.splice(0).map((one) => one.close()));
  beforeEach(async () => {
    await close();
    await redis.restart({ empty: true });
    backbone = createMemoryBackbone();
  });
  after(async () => {
    await close();
    await redis.stop();
  });
  const entries = Array.from({ length: 1_200 }, (_, n) => entryOf(keyOf(`t/${n % 3}`, `s${n}`)));

  it('are published by another instance where the first dies with them, each once and in order', async () => {
    let taken = 0;
    const dies = through(backbone, (bus) => async (drafts) => {
      taken += drafts.length;
      // The log has them; who published them never hears of it.
      await bus.publish(drafts.slice(0, 300));
      return new Promise(() => {});
    });
    const heard = await listen(backbone);
    const first = await openRegister(redis.url, { backbone: dies });
    const { lease } = await first.hold();
    await first.register.put(lease, entries);
    await until(() => taken > 0, 'the first batch');
    const away1 = entryOf(keyOf('t/0', 's0'), { status: 'away' });
    await first.register.put(lease, [away1]);
    const second = await opened();
    await until(() => heard.changes.length === 1_201, 'the changes');
    assert.equal(replay(heard.changes).size, 1_200);
    assert.equal(heard.changes.at(-1)?.status, 'away');
    assert.equal(second.register.announcer.counts.duplicate, 300);
    await first.close();
  });

  it('wait while the log is away, up to a limit that leaves are not held to', async () => {
    const state = { away: true };
    const fickle = through(
      backbone,
      (bus) => async (drafts) => (state.away ? drafts.map(away) : bus.publish(drafts)),
    );
    const heard = await listen(backbone);
    const one = await opened({ backbone: fickle, limits: { waiting: 5 } });
    const { lease } = await one.hold();
    const put = async (...names: string[]) =>
      (
        await one.register.put(
          lease,
          names.map((name) => entryOf(keyOf('t', name))),
        )
      ).map((answer) => ('refused' in answer ? `${answer.refused} ${answer.limit}` : 'put'));
    assert.deepEqual(await put('a', 'b', 'c', 'd'), ['put', 'put', 'put', 'put']);
    assert.deepEqual(await put('e', 'f', 'a'), ['put', 'wait 5', 'put'], 'a is as it was, and tells nothing');
    await one.register.leave(lease, [keyOf('t', 'a')], 0);
    assert.equal((await one.all('t')).length, 4);
    state.away = false;
    await until(() => heard.changes.length === 6, 'the changes');
    assert.deepEqual(await put('f'), ['put']);
    await until(() => heard.changes.length === 7, 'the change');
    assert.equal(replay(heard.changes).size, 5);
  });

  it('go on behind one that the log refuses for good', async () => {
    const picky = through(backbone, (bus) => async (drafts) => {
      const refused = ({ topic }: { readonly topic: string }) => topic === '$presence/t/1';
      const answers = [...(await bus.publish(drafts.filter((draft) => !refused(draft))))];
      const no = new PushfleetError('payload_too_large', 'No.');
      return drafts.map((draft) => (refused(draft) ? no : (answers.shift() ?? no)));
    });
    const heard = await listen(backbone);
    const one = await opened({ backbone: picky });
    const { lease } = await one.hold();
    await one.register.put(lease, entries.slice(0, 6));
    await until(() => one.register.announcer.counts.dropped === 2, 'the refusals');
    await until(() => heard.changes.length === 4, 'the others');
  });
});
