import type { Msg } from '@nats-io/transport-node';
import { type ApiFailure, apiError } from './api.ts';
import { isFull, storageFull } from './kept.ts';

/** What an answer to a publish says. */
export type Ack =
  | {
      readonly kind: 'stored';
      readonly sequence: number;
      readonly count: number;
      readonly duplicate: boolean;
    }
  /** Nobody took it, or not now. */
  | { readonly kind: 'again' }
  /** One of a batch is stored already, so none of it was stored now. */
  | { readonly kind: 'duplicate_inside' }
  | {
      readonly kind: 'refused';
      readonly code: 'storage_full' | 'payload_too_large' | 'other';
      readonly why: string;
    };

interface PubAck {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly count?: number;
  readonly error?: ApiFailure;
}

/** Without a leader the server itself answers "no responders", a status without a body. */
export function readAck({ data }: Msg): Ack {
  if (data.length === 0) return { kind: 'again' };
  let ack: PubAck;
  try {
    ack = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1')) as PubAck;
  } catch {
    return { kind: 'again' };
  }
  if (ack.error !== undefined) return readFailure(ack.error);
  if (!Number.isSafeInteger(ack.seq)) return { kind: 'again' };
  return {
    kind: 'stored',
    sequence: ack.seq as number,
    count: ack.count ?? 1,
    duplicate: ack.duplicate === true,
  };
}

function readFailure(error: ApiFailure): Ack {
  const why = error.description ?? `error ${error.code}`;
  if (isFull(error))
    return { kind: 'refused', code: 'storage_full', why: storageFull('publications').message };
  if (error.err_code === apiError.messageTooLarge) return { kind: 'refused', code: 'payload_too_large', why };
  if (error.err_code === apiError.batchHasDuplicate) return { kind: 'duplicate_inside' };
  // Sent again while the first sending is still on its way to the replicas: the next answer tells what became of it.
  if (error.err_code === apiError.duplicateInProcess) return { kind: 'again' };
  // 429 is a full ingest queue; from 500 on the server could not, rather than would not.
  if (error.code === 429 || error.code >= 500) return { kind: 'again' };
  return { kind: 'refused', code: 'other', why };
}
