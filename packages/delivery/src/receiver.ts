import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What a subscription says of its receiver, whatever its kind; 0 where it says nothing. */
export interface Receiver {
  readonly address: string;
  /** One delivery after the other, in the order of the log. */
  readonly ordered: boolean;
  /** Most deliveries at once. */
  readonly concurrency: number;
  /** Most deliveries a second. */
  readonly rate: number;
}

const plain = { ordered: false, concurrency: 0, rate: 0 };

/** Who is called. */
export function receiverOf({ target }: Subscription): Receiver {
  switch (target?.$case) {
    case 'webhook': {
      const { url: address, ordered, concurrency, ratePerSecond: rate } = target.webhook;
      return { address, ordered, concurrency, rate };
    }
    case 'websub':
      return { ...plain, address: target.websub.callback };
    default:
      return { ...plain, address: '' };
  }
}
