import { SubscriptionKind, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

type Change = 'created' | 'updated' | 'deleted';

/** What this instance did to subscriptions, for its metrics. */
export class Tally {
  readonly #changes = new Map<string, number>();
  readonly #states = new Map<string, number>();

  changed(kind: SubscriptionKind, change: Change): void {
    count(this.#changes, `${nameOf(SubscriptionKind, kind)} ${change}`);
  }

  /** A subscription came into a state. */
  entered(kind: SubscriptionKind, state: SubscriptionState): void {
    count(this.#states, `${nameOf(SubscriptionKind, kind)} ${nameOf(SubscriptionState, state)}`);
  }

  *changes(): Iterable<readonly [number, { readonly kind: string; readonly change: string }]> {
    for (const [name, total] of this.#changes) {
      const [kind = '', change = ''] = name.split(' ');
      yield [total, { kind, change }];
    }
  }

  *states(): Iterable<readonly [number, { readonly kind: string; readonly state: string }]> {
    for (const [name, total] of this.#states) {
      const [kind = '', state = ''] = name.split(' ');
      yield [total, { kind, state }];
    }
  }
}

function count(totals: Map<string, number>, name: string): void {
  totals.set(name, (totals.get(name) ?? 0) + 1);
}

/** `webhook` for SUBSCRIPTION_KIND_WEBHOOK. */
function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  const name = Object.entries(values).find(([, known]) => known === value)?.[0] ?? 'unknown';
  return name.slice(name.lastIndexOf('_') + 1).toLowerCase();
}
