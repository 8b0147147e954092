import type {
  SubscriptionChange,
  WatchSubscriptionsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { ChangeWriter } from './change-writer.ts';
import type { Sink } from './watches.ts';

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
  const writer = new ChangeWriter(sink, (changes: SubscriptionChange[]) => ({ changes }));
  const watching = watch((change) => writer.add(change));
  writer.begin([]);
  return () => {
    watching.stop();
    writer.stop();
  };
}
