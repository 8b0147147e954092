import { PushfleetError } from '@pushfleet/core';
import type { Ack } from './ack.ts';
import { unavailable } from './link.ts';

/** What is appended: its header lines hold the id by which the broker knows it again. */
export interface Parcel {
  readonly subject: string;
  readonly lines: string;
  readonly payload: Uint8Array;
}

/** Lines of a batch and the frame of a message, as the bound of a batch counts them. */
const parcelOverhead = 256;

/** Parcels of one `append`: settled together. */
export interface Call {
  readonly sequences: number[];
  open: number;
  readonly resolve: (sequences: readonly number[]) => void;
  readonly reject: (error: PushfleetError) => void;
}

export interface Item extends Parcel {
  readonly call: Call;
  readonly index: number;
  readonly deadline: number;
  readonly size: number;
  /** Under which its answer comes, while it is sent singly and not acknowledged. */
  token: string;
}

export function itemOf(parcel: Parcel, call: Call, index: number, deadline: number): Item {
  const { subject, lines, payload } = parcel;
  const size = payload.length + lines.length + subject.length + parcelOverhead;
  return { subject, lines, payload, call, index, deadline, size, token: '' };
}

export const refusals = {
  uncertain: () =>
    new PushfleetError(
      'unavailable',
      'The log did not acknowledge in time; some may be stored. Append all again with the same ids.',
      { retryAfterMs: 1_000 },
    ),
  tooMany: () => unavailable('More is appended than the log takes; nothing of this was stored.'),
  tooLarge: (size: number, limit: number) =>
    new PushfleetError(
      'payload_too_large',
      `With its headers it has ${size} bytes; the broker takes ${limit}.`,
      {
        detail: { limit },
      },
    ),
  refused: ({ code, why }: Ack & { kind: 'refused' }) =>
    code === 'storage_full'
      ? new PushfleetError(
          'storage_full',
          'The log has no room for more of this. An operator must raise PUSHFLEET_STREAM_MAX_BYTES.',
          { retryAfterMs: 30_000 },
        )
      : new PushfleetError('internal', `The log refuses what is appended: ${why}.`),
};
