import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Queue, QueueEntry } from '@pushfleet/bus';
import { decodeJob } from './job.ts';
import type { Patiently } from './patience.ts';
import { Tenancy } from './tenancy.ts';

const lapseMs = 8_000;
const patiently: Patiently = (_, run) => run();

describe('the shelves of a slot', () => {
  let did: string[];
  let tenancy: Tenancy;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    did = [];
    const put = async (entries: readonly QueueEntry[]) => {
      did.push(...entries.map(({ body }) => decodeJob(body).kind));
    };
    const lanes = {
      enter: async () => void did.push('enter'),
      find: async () => void did.push('find'),
      quit: () => void did.push('quit'),
      setLeaving: () => {},
    };
    tenancy = new Tenancy(7, { queue: { put, lapseMs } as unknown as Queue, lanes, patiently });
  });
  afterEach(async () => {
    await tenancy.end(false);
    mock.timers.reset();
  });

  it('are entered at once where nothing of the slot was ever handed out', async () => {
    tenancy.served(true);
    await turn();
    assert.deepEqual(did, ['knock', 'enter']);
  });

  it('are entered when the one before has said that it left', async () => {
    tenancy.served(false);
    await turn();
    assert.deepEqual(did, ['knock']);
    tenancy.vacated();
    await turn();
    assert.deepEqual(did, ['knock', 'enter']);
    mock.timers.tick(lapseMs);
    await turn();
    assert.deepEqual(did, ['knock', 'enter']);
  });

  it('are entered when the one before has had the time to learn that it owns the slot no more', async () => {
    tenancy.served(false);
    mock.timers.tick(lapseMs - 1);
    await turn();
    assert.deepEqual(did, ['knock']);
    mock.timers.tick(1);
    await turn();
    assert.deepEqual(did, ['knock', 'enter']);
  });

  it('are not entered before the queue has handed something out, whoever left', async () => {
    tenancy.vacated();
    mock.timers.tick(lapseMs);
    await turn();
    assert.ok(!did.includes('enter'));
  });

  it('are left alone once the slot may have passed on, until it is served and the time is over again', async () => {
    tenancy.served(true);
    tenancy.lost();
    await turn();
    assert.deepEqual(did, ['knock', 'enter', 'quit', 'knock']);
    tenancy.served(false);
    await turn();
    tenancy.audit();
    assert.deepEqual(
      did.filter((what) => what === 'enter' || what === 'find'),
      ['enter'],
    );
    mock.timers.tick(lapseMs);
    await turn();
    tenancy.audit();
    assert.deepEqual(
      did.filter((what) => what === 'enter' || what === 'find'),
      ['enter', 'enter', 'find'],
    );
  });

  for (const [served, clean, left] of [
    [true, true, true],
    [true, false, false],
    [false, true, false],
  ] as const) {
    it(`are ${left ? '' : 'not '}said to be left by one that ${served ? 'was' : 'was not'} in, ${clean ? 'with' : 'without'} all of it on record`, async () => {
      tenancy.served(served);
      await tenancy.end(clean);
      assert.equal(did.includes('left'), left);
      assert.ok(did.includes('quit'));
    });
  }
});
