import {
  type Attributes,
  type Backbone,
  type Draft,
  isReserved,
  limits,
  PushfleetError,
  parseDraft,
  quote,
  type Stored,
  type Topic,
} from '@pushfleet/core';
import type { Grant, RateLimit } from '@pushfleet/runtime';
import { newId } from './id.ts';

/** A publication as it came out of a request, in whichever protocol: unchecked, with holes that the intake fills. */
export interface Submission {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly id?: string | undefined;
  readonly source?: string | undefined;
  readonly contentType?: string | undefined;
  readonly type?: string | undefined;
  readonly attributes?: Attributes | undefined;
  readonly retain?: boolean | undefined;
  /** For how long it may be delivered, in milliseconds from now. */
  readonly ttlMs?: number | undefined;
}

export interface IntakeOptions {
  readonly backbone: Backbone;
  /** Publications per token subject. */
  readonly rate: RateLimit;
  /** Largest payload, in bytes. */
  readonly payloadBytes: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

const defaultContentType = 'application/octet-stream';

/** The one way into the log, whichever API a publication came by: rate, checks, grant, then the bus. */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #now: () => number;
  readonly #outcomes = new Map<string, number>();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** How many publications were answered how: `stored`, `duplicate`, or an error's code. */
  get outcomes(): ReadonlyMap<string, number> {
    return this.#outcomes;
  }

  /**
   * Settles once each is stored or refused; answers stand in the order given, and an error given is its own
   * answer. Publications of one topic are stored in this order, also across calls. Never rejects.
   */
  async publish(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const answers = await this.#store(grant, submissions);
    for (const answer of answers) this.#count(answer);
    return answers;
  }

  async #store(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const checked = this.#check(grant, submissions);
    const drafts = checked.filter((draft): draft is Draft => !(draft instanceof PushfleetError));
    if (drafts.length === 0) return checked as readonly PushfleetError[];
    const stored = (await this.#options.backbone.bus(grant.namespace).publish(drafts)).values();
    return checked.map((draft) =>
      draft instanceof PushfleetError ? draft : (stored.next().value as Stored | PushfleetError),
    );
  }

  #count(answer: Stored | PushfleetError): void {
    const duplicate = 'duplicate' in answer && answer.duplicate ? 'duplicate' : 'stored';
    const outcome = answer instanceof PushfleetError ? answer.code : duplicate;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  #check(grant: Grant, submissions: readonly (Submission | PushfleetError)[]): (Draft | PushfleetError)[] {
    const { rate } = this.#options;
    let overRate: PushfleetError | undefined;
    return submissions.map((submission) => {
      if (submission instanceof PushfleetError) return submission;
      // Once one is over the rate the rest is too: a later one must not overtake it on its topic.
      if (overRate !== undefined) return overRate;
      try {
        rate.require(`${grant.namespace} ${grant.subject}`);
      } catch (error) {
        overRate = PushfleetError.from(error);
        return overRate;
      }
      try {
        return this.#draft(grant, submission);
      } catch (error) {
        return PushfleetError.from(error);
      }
    });
  }

  #draft(grant: Grant, submission: Submission): Draft {
    const now = this.#now();
    const { type, attributes, retain } = submission;
    const draft = parseDraft(
      {
        topic: submission.topic,
        payload: submission.payload,
        id: submission.id ?? newId(now),
        source: submission.source ?? grant.subject,
        contentType: submission.contentType ?? defaultContentType,
        ...(type === undefined ? {} : { type }),
        ...(attributes === undefined || attributes.length === 0 ? {} : { attributes }),
        ...(retain === true ? { retain } : {}),
        ...(submission.ttlMs === undefined ? {} : { expiresAt: expiry(now, submission.ttlMs) }),
      },
      this.#options.payloadBytes,
    );
    requirePublish(grant, draft.topic);
    return draft;
  }
}

/** @throws PushfleetError `forbidden` where the topic is the fleet's own or the token does not grant it */
export function requirePublish(grant: Grant, topic: Topic): void {
  if (isReserved(topic)) {
    throw new PushfleetError(
      'forbidden',
      `${quote(topic)} is one of the fleet's own topics, which begin with "$"; publish to another.`,
    );
  }
  grant.require('publish', topic);
}

function expiry(now: number, ttlMs: number): number {
  const at = now + Math.ceil(ttlMs);
  if (ttlMs > 0 && Number.isSafeInteger(at)) return at;
  throw new PushfleetError(
    'attribute_invalid',
    `The time to live is ${ttlMs / 1_000} s; give more than 0, or leave it out to keep the publication as long as the log does.`,
  );
}

/** @throws PushfleetError `request_invalid` unless a batch has 1 to 1,000 drafts */
export function checkBatch(count: number): void {
  if (count >= 1 && count <= limits.batchDrafts) return;
  throw new PushfleetError(
    'request_invalid',
    `A batch has 1 to ${limits.batchDrafts} drafts; this one has ${count}.`,
    { detail: { limit: limits.batchDrafts } },
  );
}
