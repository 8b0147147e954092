import type { Queue } from '@pushfleet/bus';
import { Audit } from './audit.ts';
import { Books } from './books.ts';
import { Calls } from './calls.ts';
import { firstWord } from './consent.ts';
import { Deletions } from './deletions.ts';
import { deliveryStores } from './delivery-stores.ts';
import { Dispatch } from './dispatch.ts';
import { EntriesInHand } from './entry.ts';
import { Expander } from './expander.ts';
import { Farewells } from './farewells.ts';
import { createHookNews } from './hooks.ts';
import { LaneBook } from './lane-book.ts';
import type { DeliveryOptions } from './options.ts';
import { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { Replays } from './replays.ts';
import { horizonMs } from './retry.ts';
import { Selections } from './selections.ts';
import { Settling } from './settling.ts';
import { Subscribers } from './subscribers.ts';

/** What a worker consists of. */
export interface Machinery {
  readonly queue: Queue;
  readonly owed: OwedShelf;
  readonly books: Books;
  readonly subscribers: Subscribers;
  readonly deletions: Deletions;
  readonly lanes: LaneBook;
  readonly entries: EntriesInHand;
  readonly dispatch: Dispatch;
  readonly expander: Expander;
  readonly calls: Calls;
  readonly replays: Replays;
  readonly selections: Selections;
  readonly audit: Audit | undefined;
}

/** Puts the parts together. @param closing aborts when the worker closes: nothing is waited for any more */
export function wireMachinery(o: DeliveryOptions, patiently: Patiently, closing: AbortSignal): Machinery {
  const { backbone, kind, subscriptionKind, registry, revocations, courier, limits, log } = o;
  const { ownerless = false } = o;
  const stores = deliveryStores(kind, backbone, ownerless);
  const longestMs = limits.queueMs + (limits.horizonMs ?? horizonMs(limits.retryMs)) + limits.deadLettersMs;
  const owed = new OwedShelf(stores.owedOn, longestMs);
  const news = ownerless ? () => {} : createHookNews(backbone, o.service, log);
  const books = new Books({ ...stores, owed, limits, patiently, log });
  const subscribers = new Subscribers(registry, subscriptionKind);
  const deletions = new Deletions(backbone.ledger('deletions'), log);
  const selections = new Selections(log);
  const common = {
    ...{ ...stores, books, owed, subscribers, deletions, news },
    ...{ backbone, courier, patiently, log },
    selections,
  };
  const farewells = ownerless ? new Farewells({ ...stores, patiently }) : undefined;
  const settling = new Settling({ ...common, limits, farewells });
  const right = { revocations, objection: o.objection };
  const audit =
    farewells === undefined || o.standing === undefined
      ? undefined
      : new Audit({ ...right, kind: subscriptionKind, registry, standing: o.standing, farewells, patiently });
  const onStop = settling.stop.bind(settling);
  const lanes = new LaneBook({
    ...common,
    shelf: stores.lanes,
    ...right,
    limits,
    onStop,
  });
  const expansion = { subscriptionKind, registry, queueMs: limits.queueMs };
  const entries = new EntriesInHand();
  return {
    ...{ queue: stores.queue, owed, books, subscribers, deletions, lanes, selections, audit },
    entries,
    dispatch: new Dispatch({ ...common, entries, lanes, settling, limits }),
    expander: new Expander({ ...common, ...expansion }),
    calls: new Calls({ ...common, signals: backbone.signals, consent: o.consent ?? firstWord, limits }),
    replays: new Replays({ ...common, limits, closing }),
  };
}
