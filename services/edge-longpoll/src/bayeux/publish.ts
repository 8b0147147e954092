import { bytesOfBase64, isJsonType, PushfleetError } from '@pushfleet/core';
import { closeDetail } from '@pushfleet/edge';
import type { Publish, Publishing, Submission } from '@pushfleet/intake';
import type { Grant, TraceHeaders } from '@pushfleet/runtime';
import { type Caller, requireSame } from './caller.ts';
import { topicOf } from './channel.ts';
import { dataText, type Message, ownExt, textField } from './message.ts';
import { type Reply, yes } from './reply.ts';

export interface PublishesOptions {
  readonly sessions: { grantOf(clientId: string): Promise<Grant> };
  readonly publishing: Pick<Publishing, 'publish'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** How a message that could not be served is answered. */
type Refuse = (message: Message, thrown: unknown) => Reply;

/** The publish messages of a request: who sends them, and how they are answered. */
export class Publishes {
  readonly #o: PublishesOptions;

  constructor(options: PublishesOptions) {
    this.#o = options;
  }

  /** Those of one sender are stored together; the answer comes once the log has them. */
  async answer(group: readonly Message[], caller: Caller, refuse: Refuse): Promise<readonly Reply[]> {
    const grants = await Promise.all(group.map((message) => this.#publisher(message, caller)));
    const replies = new Map<Message, Reply>();
    for (const grant of new Set(grants)) {
      const own = group.filter((_, i) => grants[i] === grant);
      if (grant instanceof PushfleetError) {
        for (const message of own) replies.set(message, refuse(message, grant));
        continue;
      }
      const publishes = own.map((message) => publishOf(message, caller.trace));
      const stored = await this.#o.publishing.publish(grant, publishes);
      own.forEach((message, i) => {
        const one = stored[i];
        if (one === undefined || one instanceof PushfleetError) {
          replies.set(message, refuse(message, one));
          return;
        }
        const { cursor, duplicate } = one;
        const pushfleet = { cursor, ...(duplicate && { duplicate }) };
        replies.set(message, yes(message, { ext: { pushfleet } }));
      });
    }
    return group.map((message) => replies.get(message) as Reply);
  }

  /** Who publishes: "A publish message MAY be sent from an unconnected client". Nothing is taken over for it. */
  async #publisher(message: Message, caller: Caller): Promise<Grant | PushfleetError> {
    try {
      const clientId = textField(message, 'clientId');
      if (clientId === undefined) {
        if (caller.visitor === undefined) throw caller.stranger;
        return caller.visitor;
      }
      const grant = await this.#o.sessions.grantOf(clientId);
      if (caller.visitor !== undefined) requireSame(grant, caller.visitor);
      const newest =
        caller.visitor !== undefined && caller.visitor.expiresAt > grant.expiresAt ? caller.visitor : grant;
      if (this.#o.now() < newest.expiresAt) return newest;
      throw new PushfleetError('token_expired', closeDetail('token_expired'));
    } catch (thrown) {
      return PushfleetError.from(thrown);
    }
  }
}

/** A message's own trace counts before that of the request that brought it. */
function publishOf(message: Message, ofRequest: TraceHeaders): Publish | PushfleetError {
  const submission = submissionOf(message);
  if (submission instanceof PushfleetError) return submission;
  const { traceparent, tracestate, baggage } = ownExt(message);
  return { submission, trace: traceparent === undefined ? ofRequest : { traceparent, tracestate, baggage } };
}

/**
 * The publication of a publish message. `data` is the payload as JSON. With another content type in `ext.pushfleet`
 * it is the text of the payload, or `{"data_base64"}` where that is not text: the form in which such payloads come out.
 *
 * `id` is not taken for the publication's id: clients count their messages, from 1 again after a page was loaded
 * anew, and two publications would be taken for one. Who wants to repeat safely says `ext.pushfleet.id`.
 */
export function submissionOf(message: Message): Submission | PushfleetError {
  try {
    const { id, type, retain, ttl, contentType = 'application/json' } = ownExt(message);
    return {
      topic: topicOf(message.channel),
      payload: payloadOf(message, contentType),
      ...{ id, type, retain, contentType },
      ...(ttl !== undefined && { ttlMs: ttl * 1_000 }),
    };
  } catch (thrown) {
    return PushfleetError.from(thrown);
  }
}

function payloadOf(message: Message, contentType: string): Uint8Array {
  const { data } = message;
  // "The data message field MUST be included in publish messages."
  if (data === undefined) throw new PushfleetError('request_invalid', 'The message has no "data".');
  if (isJsonType(contentType)) return Buffer.from(dataText(message));
  if (typeof data === 'string') return Buffer.from(data);
  const { data_base64: base64 } = (data ?? {}) as { readonly data_base64?: unknown };
  const bytes = typeof base64 === 'string' ? bytesOfBase64(base64) : undefined;
  if (bytes !== undefined) return bytes;
  throw new PushfleetError(
    'request_invalid',
    'With a content type other than JSON, "data" is a text, or {"data_base64": "…"}.',
  );
}
