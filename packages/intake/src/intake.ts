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
  Succession,
  type Topic,
  type TraceContext,
} from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import type { Admission, Round } from './admission.ts';
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
  /** The client that publishes it, as `Draft.origin` names it. */
  readonly origin?: string | undefined;
  /** For how long it may be delivered, in milliseconds from now. */
  readonly ttlMs?: number | undefined;
  /** The span that it comes from, where it says so itself: unchecked. */
  readonly traceparent?: string | undefined;
  /** What it is to carry for its deliveries. */
  readonly trace?: TraceContext | undefined;
}

export interface IntakeOptions {
  readonly backbone: Backbone;
  readonly admission: Admission;
  /** Largest payload, in bytes. */
  readonly payloadBytes: number;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

const defaultContentType = 'application/octet-stream';

/** The one way into the log, whichever API a publication came by: rate, checks, grant, policies, then the bus. */
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
   *
   * @param succession what these go on; without it they are one of their own
   */
  async publish(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
    succession = new Succession(),
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const answers = await this.#store(grant, submissions, succession);
    for (const answer of answers) this.#count(answer);
    return answers;
  }

  async #store(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
    succession: Succession,
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const round = this.#options.admission.round(grant);
    // Its own, since what is admitted here stands before what is refused behind it, and the bus has yet to hear of it.
    const here = new Succession(succession);
    const checked = submissions.map((submission) => this.#check(round, grant, submission, here));
    const drafts = checked.filter((draft): draft is Draft => !(draft instanceof PushfleetError));
    const answered =
      drafts.length === 0 ? [] : this.#options.backbone.bus(grant.namespace).publish(drafts, succession);
    for (const [index, submission] of submissions.entries()) {
      const draft = checked[index];
      if (!(submission instanceof PushfleetError) && draft instanceof PushfleetError)
        succession.refused(submission.topic, draft);
    }
    const stored = (await answered).values();
    return checked.map((draft) => {
      if (draft instanceof PushfleetError) return draft;
      const answer = stored.next().value as Stored | PushfleetError;
      round.settle(draft, !(answer instanceof PushfleetError || answer.duplicate));
      return answer;
    });
  }

  #count(answer: Stored | PushfleetError): void {
    const duplicate = 'duplicate' in answer && answer.duplicate ? 'duplicate' : 'stored';
    const outcome = answer instanceof PushfleetError ? answer.code : duplicate;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  #check(
    round: Round,
    grant: Grant,
    submission: Submission | PushfleetError,
    succession: Succession,
  ): Draft | PushfleetError {
    if (submission instanceof PushfleetError) return submission;
    const { topic } = submission;
    try {
      succession.require(topic);
      round.begin();
      return round.admit(this.#draft(grant, submission));
    } catch (thrown) {
      const refusal = PushfleetError.from(thrown);
      succession.refused(topic, refusal);
      return refusal;
    }
  }

  #draft(grant: Grant, submission: Submission): Draft {
    const now = this.#now();
    const { type, attributes, retain, origin, trace } = submission;
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
        ...(origin === undefined ? {} : { origin }),
        ...(trace === undefined ? {} : { trace }),
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
