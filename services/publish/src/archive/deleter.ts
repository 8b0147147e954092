import {
  type Backbone,
  type Cursor,
  type Deletion,
  isReserved,
  PushfleetError,
  quote,
  type Topic,
} from '@pushfleet/core';
import { type Fleet, forgetEverywhere, type Grant } from '@pushfleet/runtime';

export interface DeleterOptions {
  readonly backbone: Backbone;
  readonly fleet: Pick<Fleet, 'ask'>;
}

/** Takes publications out of the log, and out of the memory of the fleet. */
export class Deleter {
  readonly #options: DeleterOptions;
  #publications = 0;

  constructor(options: DeleterOptions) {
    this.#options = options;
  }

  /** How many publications were deleted. */
  get publications(): number {
    return this.#publications;
  }

  /**
   * Deletes what is stored on a topic, or the one publication right before the cursor. Resolves once the log holds
   * it no more and the instances have let go of it, which are waited for for 1 s.
   *
   * @throws PushfleetError `forbidden`, `not_found` where `at` names nothing that is stored on the topic,
   *   `cursor_invalid`, or `unavailable` when the log is out of reach
   */
  async delete(grant: Grant, topic: Topic, at?: Cursor): Promise<Deletion> {
    requireManage(grant, topic);
    const deletion = await this.#options.backbone.bus(grant.namespace).delete(topic, at);
    if (at !== undefined && deletion.count === 0) throw notStored(topic);
    this.#publications += deletion.count;
    // Also where nothing was left: another call may have deleted it and lost its connection before it asked.
    await forgetEverywhere(this.#options.fleet, grant.namespace, deletion);
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
