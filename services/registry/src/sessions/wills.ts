import { hash } from 'node:crypto';
import {
  type Backbone,
  type Draft,
  limits,
  meanings,
  type Namespace,
  PushfleetError,
  parseDraft,
} from '@pushfleet/core';
import type { Session, Will } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Log, Policies, RevocationList } from '@pushfleet/runtime';
import { keyOf } from './record.ts';

export interface WillsOptions {
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly revocations: Pick<RevocationList, 'revoked'>;
  readonly log: Log;
  readonly now: () => number;
}

/** Of a topic without history the log keeps a will for so long, in milliseconds: until everybody who is connected has it. */
const passingMs = 300_000;

/** What clients leave behind in case they are lost. */
export class Wills {
  readonly counts = { published: 0, revoked: 0, refused: 0 };
  readonly #options: WillsOptions;

  constructor(options: WillsOptions) {
    this.#options = options;
  }

  /**
   * Publishes the will of a released session, under an id that follows from incarnation and generation: repeated within the
   * log's duplicate window it is stored once. Settles, too, where it is not published since its right was revoked, or the log
   * refuses it for good.
   *
   * @throws PushfleetError where trying again may help
   */
  async publish(record: Session): Promise<void> {
    const { namespace } = keyOf(record);
    const will = record.will as Will;
    if (this.#revoked(namespace, will)) {
      this.counts.revoked++;
      return;
    }
    const [answer] = await this.#options.backbone.bus(namespace).publish([this.#draft(record, will)]);
    if (!(answer instanceof PushfleetError)) {
      this.counts.published++;
      return;
    }
    if (meanings[answer.code].retry) throw answer;
    this.counts.refused++;
    this.#options.log.warn({ err: answer, namespace, topic: will.topic }, 'a will was refused by the log');
  }

  #revoked(namespace: Namespace, { right }: Will): boolean {
    if (right === undefined) return false;
    const { subject, tokenId, tokenDigest = '', issuedAt } = right;
    return this.#options.revocations.revoked({
      ...{ namespace, subject, tokenDigest, expiresAt: Number.POSITIVE_INFINITY },
      ...(tokenId !== undefined && { tokenId }),
      ...(issuedAt !== undefined && { issuedAt: issuedAt.getTime() }),
    });
  }

  #draft(record: Session, will: Will): Draft {
    const { policies, now } = this.#options;
    const draft = draftOf(record, will);
    const { retentionMs = Number.POSITIVE_INFINITY, history } = policies.of(
      keyOf(record).namespace,
      draft.topic,
    );
    const keepMs = history ? retentionMs : Math.min(retentionMs, passingMs);
    return {
      ...draft,
      ...(will.lifetimeSeconds > 0 && { expiresAt: now() + will.lifetimeSeconds * 1_000 }),
      ...(Number.isFinite(keepMs) && { keepMs }),
    };
  }
}

function draftOf(
  { incarnation, generation }: Pick<Session, 'incarnation' | 'generation'>,
  will: Will,
): Draft {
  const { topic, payload, contentType, attributes, retain, source, type, origin } = will;
  return parseDraft(
    {
      id: `will-${hash('sha256', `${incarnation} ${generation}`, 'base64url').slice(0, 22)}`,
      ...{ source, topic, contentType, payload, retain },
      attributes: attributes.map(({ name, value }) => [name, value] as const),
      ...(type !== '' && { type }),
      ...(origin !== '' && { origin }),
    },
    limits.payloadBytes,
  );
}

/** @throws PushfleetError as `parseDraft` for what cannot be published */
export function checkWill(will: Will | undefined): void {
  if (will !== undefined) draftOf({ incarnation: '', generation: 0n }, will);
}
