import type {
  SubscriptionChange,
  WatchSubscriptionsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Sink } from './watches.ts';

const batchChanges = 500;
/** Changes that may wait for a caller that does not read. */
const mostPending = 100_000;

/**
 * Gives one caller an empty message, which says that it misses nothing from now on, and then every change as fast as
 * it reads. Returns how to stop.
 *
 * @throws PushfleetError `unavailable` while changes are not known
 */
export function streamChanges(
  watch: (on: (change: SubscriptionChange) => void) => { stop(): void },
  sink: Sink<WatchSubscriptionsResponse>,
): () => void {
  let pending: SubscriptionChange[] = [];
  let stopped = false;
  let scheduled = false;
  let blocked = false;

  const flush = (): void => {
    scheduled = false;
    let next = 0;
    while (next < pending.length && !blocked) {
      const changes = pending.slice(next, next + batchChanges);
      next += changes.length;
      blocked = !sink.write({ changes });
    }
    pending = pending.slice(next);
  };
  // Changes that come together travel together.
  const schedule = (): void => {
    if (scheduled || blocked || stopped) return;
    scheduled = true;
    setImmediate(() => !stopped && flush());
  };
  sink.onDrain(() => {
    blocked = false;
    if (pending.length > 0) schedule();
  });
  const watching = watch((change) => {
    if (stopped) return;
    pending.push(change);
    if (pending.length > mostPending) sink.overflow();
    else schedule();
  });
  blocked = !sink.write({ changes: [] });
  return () => {
    watching.stop();
    pending = [];
    stopped = true;
  };
}
