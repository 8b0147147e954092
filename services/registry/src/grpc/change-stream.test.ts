import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type {
  SubscriptionChange,
  WatchSubscriptionsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { streamChanges } from './change-stream.ts';

const change = (n: number): SubscriptionChange => ({
  namespace: 'default',
  id: `s${n}`,
  revision: BigInt(n),
  deleted: false,
});

/** A caller that reads while `reads` is set. */
function open() {
  const responses: WatchSubscriptionsResponse[] = [];
  const state = { reads: true, overflows: 0, stopped: false };
  let tell: (change: SubscriptionChange) => void = () => {};
  let drained: () => void = () => {};
  const watch = (on: typeof tell) => {
    tell = on;
    return {
      stop: () => {
        state.stopped = true;
      },
    };
  };
  const stop = streamChanges(watch, {
    write(response) {
      responses.push(response);
      return state.reads;
    },
    onDrain: (on) => {
      drained = on;
    },
    overflow: () => state.overflows++,
    end: () => {},
  });
  return {
    ...{ responses, state, stop },
    tell: (from: number, to: number) => {
      for (let n = from; n < to; n++) tell(change(n));
    },
    drain: () => drained(),
    ids: () => responses.flatMap(({ changes }) => changes.map(({ revision }) => Number(revision))),
  };
}

describe('streamChanges', () => {
  it('begins with an empty message, and sends what comes together in as few as fit', async () => {
    const caller = open();
    assert.deepEqual(caller.responses, [{ changes: [] }]);
    caller.tell(0, 1_200);
    await turn();
    assert.deepEqual(
      caller.responses.map(({ changes }) => changes.length),
      [0, 500, 500, 200],
    );
    assert.deepEqual(
      caller.ids(),
      Array.from({ length: 1_200 }, (_, n) => n),
    );
  });

  it('waits for a caller that is behind, and misses nothing', async () => {
    const caller = open();
    caller.state.reads = false;
    caller.tell(0, 600);
    await turn();
    assert.equal(caller.ids().length, 500);
    caller.tell(600, 700);
    await turn();
    assert.equal(caller.ids().length, 500);
    caller.state.reads = true;
    caller.drain();
    await turn();
    assert.deepEqual(
      caller.ids(),
      Array.from({ length: 700 }, (_, n) => n),
    );
  });

  it('gives up a caller for whom more waits than is allowed, and not before', async () => {
    const caller = open();
    caller.state.reads = false;
    caller.tell(0, 1);
    await turn();
    caller.tell(1, 100_001);
    assert.equal(caller.state.overflows, 0);
    caller.tell(100_001, 100_002);
    assert.equal(caller.state.overflows, 1);
  });

  it('writes nothing more after it was stopped', async () => {
    const caller = open();
    caller.tell(0, 5);
    caller.stop();
    caller.tell(5, 9);
    await turn();
    assert.deepEqual([caller.ids(), caller.state.stopped], [[], true]);
  });
});
