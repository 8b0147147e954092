import { owedShelfNames, type Stores } from '@pushfleet/bus';
import {
  type Backbone,
  type Cursor,
  type Deletion,
  isReserved,
  type Namespace,
  PushfleetError,
  parseCursor,
  quote,
  type Topic,
} from '@pushfleet/core';
import { type Fleet, forgetEverywhere, type Grant } from '@pushfleet/runtime';
import { DeletionRecords } from './deletion-records.ts';
import { OwedPublications } from './owed-publications.ts';

export interface DeleterOptions {
  readonly backbone: Backbone & Pick<Stores, 'ledger' | 'shelf'>;
  readonly fleet: Pick<Fleet, 'ask'>;
}

/** Takes publications out of the log, out of the memory of the fleet, and out of what is owed to those who are called. */
export class Deleter {
  readonly #options: DeleterOptions;
  readonly #records: DeletionRecords;
  readonly #owed: readonly OwedPublications[];
  #publications = 0;

  constructor(options: DeleterOptions) {
    this.#options = options;
    this.#records = new DeletionRecords(options.backbone.ledger('deletions'));
    this.#owed = owedShelfNames.map((name) => new OwedPublications(options.backbone.shelf(name)));
  }

  /** How many publications were deleted. */
  get publications(): number {
    return this.#publications;
  }

  /**
   * Deletes what is stored on a topic, or the one publication right before the cursor. Resolves once the log holds
   * it no more, it is on record for whoever would deliver it later, and the instances have let go of it, which are
   * waited for for 1 s. Called again after a failure it finishes what was begun.
   *
   * @throws PushfleetError `forbidden`, `not_found` where `at` names nothing that is stored on the topic,
   *   `cursor_invalid`, or `unavailable` when the log is out of reach
   */
  async delete(grant: Grant, topic: Topic, at?: Cursor): Promise<Deletion> {
    requireManage(grant, topic);
    const { namespace } = grant;
    const deletion = await (at === undefined
      ? this.#deleteAll(namespace, topic)
      : this.#deleteOne(namespace, topic, at));
    if (at !== undefined && deletion.count === 0) throw notStored(topic);
    this.#publications += deletion.count;
    // Also where nothing was left: another call may have deleted it and lost its connection before it asked.
    await forgetEverywhere(this.#options.fleet, namespace, deletion);
    return deletion;
  }

  /** Whatever the topic had up to the head is on record, also what the log had lost by age and is still owed. */
  async #deleteAll(namespace: Namespace, topic: Topic): Promise<Deletion> {
    const bus = this.#options.backbone.bus(namespace);
    // What comes to be owed later is of a later publication, or kept from its receivers by the record.
    const [head, ...owedUntil] = await Promise.all([
      bus.head(),
      ...this.#owed.map((owed) => owed.newest(namespace, topic)),
    ]);
    const deletion = await bus.delete(topic);
    const { shard } = deletion;
    const last = Math.max(deletion.last, parseCursor(head).positions[shard] ?? 0);
    if (last > 0) await this.#records.add(namespace, topic, { shard, first: 1, last });
    for (const [i, owed] of this.#owed.entries()) await owed.clear(namespace, topic, owedUntil[i] ?? 0);
    return deletion;
  }

  async #deleteOne(namespace: Namespace, topic: Topic, at: Cursor): Promise<Deletion> {
    const bus = this.#options.backbone.bus(namespace);
    const head = parseCursor(await bus.head());
    const deletion = await bus.delete(topic, at);
    const { shard } = deletion;
    const { generation, positions } = parseCursor(at);
    const sequence = generation === head.generation ? (positions[shard] ?? 0) : 0;
    // A place ahead of the log must not keep from anybody what is still to come.
    if (sequence === 0 || sequence > Math.max(deletion.last, head.positions[shard] ?? 0)) return deletion;
    await this.#records.add(namespace, topic, { shard, first: sequence, last: sequence });
    for (const owed of this.#owed) await owed.remove(namespace, topic, shard, at);
    return deletion;
  }
}

/** @throws PushfleetError `forbidden` where the topic is the fleet's own or the token does not grant it */
function requireManage(grant: Grant, topic: Topic): void {
  if (isReserved(topic)) {
    throw new PushfleetError(
      'forbidden',
      `${quote(topic)} is one of the fleet's own topics, which begin with "$"; they cannot be deleted.`,
    );
  }
  grant.require('manage', topic);
}

const notStored = (topic: Topic): PushfleetError =>
  new PushfleetError(
    'not_found',
    `No publication of ${quote(topic)} is stored right before this cursor: it was deleted, expired, or is one of another topic.`,
  );
