import type { Msg } from '@nats-io/transport-node';

const empty = new Uint8Array(0);

/**
 * The header block of a message as it came. nats-core keeps it in two private fields and decodes a map of all
 * headers on `headers`, which costs more than everything else on the live path; a version without those fields
 * is served by encoding that map again.
 */
export function rawBlock(message: Msg): Uint8Array {
  const { _msg, _rdata } = message as unknown as { _msg?: { hdr?: unknown }; _rdata?: unknown };
  if (_rdata instanceof Uint8Array && typeof _msg?.hdr === 'number') {
    return _msg.hdr > 0 ? _rdata.subarray(0, _msg.hdr) : empty;
  }
  const headers = message.headers as { encode?(): Uint8Array } | undefined;
  return headers?.encode?.() ?? empty;
}
