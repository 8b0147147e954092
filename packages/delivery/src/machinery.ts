import type { Queue } from '@pushfleet/bus';
import { Books } from './books.ts';
import { Calls } from './calls.ts';
import { Deletions } from './deletions.ts';
import { Dispatch } from './dispatch.ts';
import { Expander } from './expander.ts';
import { createHookNews } from './hooks.ts';
import { LaneBook } from './lane-book.ts';
import type { DeliveryOptions } from './options.ts';
import { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { Replays } from './replays.ts';
import { horizonMs } from './retry.ts';
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
  readonly dispatch: Dispatch;
  readonly expander: Expander;
  readonly calls: Calls;
  readonly replays: Replays;
}

/** Puts the parts together. @param closing aborts when the worker closes: nothing is waited for any more */
export function wireMachinery(o: DeliveryOptions, patiently: Patiently, closing: AbortSignal): Machinery {
  const { backbone, kind, subscriptionKind, registry, revocations, courier, limits, log } = o;
  const queue = backbone.queue(kind);
  const shelves = {
    lanes: backbone.shelf('lanes'),
    dead: backbone.shelf('dead'),
    attempts: backbone.shelf('attempts'),
  };
  const longestMs = limits.queueMs + horizonMs(limits.retryMs) + limits.deadLettersMs;
  const owed = new OwedShelf(backbone.shelf('owed'), longestMs);
  const news = createHookNews(backbone, o.service, log);
  const books = new Books({ kind, queue, ...shelves, owed, limits, patiently, log });
  const subscribers = new Subscribers(registry, subscriptionKind);
  const deletions = new Deletions(backbone.ledger('deletions'), log);
  const common = {
    kind,
    queue,
    books,
    owed,
    subscribers,
    deletions,
    news,
    backbone,
    courier,
    patiently,
    log,
  };
  const settling = new Settling({ ...common, limits });
  const onStop = settling.stop.bind(settling);
  const lanes = new LaneBook({ ...common, shelf: shelves.lanes, revocations, limits, onStop });
  const expansion = { subscriptionKind, registry, lanes: shelves.lanes, queueMs: limits.queueMs };
  return {
    ...{ queue, owed, books, subscribers, deletions, lanes },
    dispatch: new Dispatch({ ...common, lanes, settling, limits }),
    expander: new Expander({ ...common, ...expansion }),
    calls: new Calls({ ...common, signals: backbone.signals, limits }),
    replays: new Replays({ ...common, dead: shelves.dead, closing }),
  };
}
