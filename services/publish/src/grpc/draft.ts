import {
  defaultType,
  grpcStatus,
  meanings,
  type Publication,
  PushfleetError,
  type Stored,
} from '@pushfleet/core';
import type { Submission } from '@pushfleet/intake';
import type { Duration } from '@pushfleet/proto/google/protobuf/duration';
import type * as proto from '@pushfleet/proto/pushfleet/publish/v1/publish';

/** A draft message as a submission, or an error where the request has none. Empty fields are absent ones. */
export function fromProto(draft: proto.Draft | undefined): Submission | PushfleetError {
  if (draft === undefined) return new PushfleetError('request_invalid', 'The request has no draft.');
  return {
    topic: draft.topic,
    payload: draft.payload,
    id: draft.id || undefined,
    source: draft.source || undefined,
    contentType: draft.contentType || undefined,
    type: draft.type || undefined,
    attributes: draft.attributes.map(({ name, value }) => [name, value] as const),
    retain: draft.retain,
    traceparent: draft.traceparent || undefined,
    ttlMs: draft.ttl === undefined ? undefined : Number(draft.ttl.seconds) * 1_000 + draft.ttl.nanos / 1e6,
  };
}

// What a draft costs beside its payload: its strings and the objects around them, roughly.
const overheadBytes = 512;

/** About how much memory a draft takes, in bytes. */
export const sizeOf = (draft: proto.Draft | undefined): number =>
  overheadBytes + (draft?.payload.length ?? 0);

/** The answer to one draft as a message. */
export function toResult(answer: Stored | PushfleetError): proto.PublishResult {
  return answer instanceof PushfleetError
    ? { outcome: { $case: 'refusal', refusal: toRefusal(answer) } }
    : { outcome: { $case: 'receipt', receipt: answer } };
}

function toRefusal(error: PushfleetError): proto.Refusal {
  const { grpc, retry } = meanings[error.code];
  const retryMs = error.retryAfterMs ?? (retry ? 1_000 : undefined);
  return {
    code: error.code,
    message: error.message,
    status: grpcStatus[grpc],
    retryAfter: retryMs === undefined ? undefined : duration(retryMs),
  };
}

function duration(ms: number): Duration {
  const whole = Math.ceil(ms);
  return { seconds: BigInt(Math.floor(whole / 1_000)), nanos: (whole % 1_000) * 1e6 };
}

/** A publication as subscribers are given it. */
export function toProto(publication: Publication): proto.Publication {
  const { id, source, topic, contentType, payload, type, attributes, retain, time, expiresAt } = publication;
  return {
    id,
    source,
    topic,
    contentType,
    payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
    type: type ?? defaultType,
    attributes: (attributes ?? []).map(([name, value]) => ({ name, value })),
    retain: retain ?? false,
    publishTime: new Date(time),
    expireTime: expiresAt === undefined ? undefined : new Date(expiresAt),
  };
}
