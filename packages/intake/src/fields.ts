import { limits } from '@pushfleet/core';
import { field } from '@pushfleet/runtime';

/** What an intake reads, by the beginning of its variables' names: `PUSHFLEET_PUBLISH`. */
export function intakeFields<P extends string>(prefix: P) {
  const name = <S extends string>(suffix: S): `${P}_${S}` => `${prefix}_${suffix}`;
  return {
    payloadBytes: field.bytes({
      env: name('PAYLOAD_BYTES'),
      doc: "The largest payload of one publication. With its headers it must fit into the broker's max_payload.",
      fallback: limits.payloadBytes,
      min: 1,
      max: 64 * 1_048_576,
    }),
    pendingBytes: field.bytes({
      env: name('PENDING_BYTES'),
      doc: 'The most bytes of publications that may be unanswered at once, and as many again that may be on their way to who asked for them; further ones are told to come back.',
      fallback: '64MiB',
      min: 1_048_576,
    }),
    ratePerSecond: field.integer({
      env: name('RATE'),
      doc: 'Publications per second that each token subject may publish through one instance, on average.',
      fallback: 10_000,
      min: 1,
    }),
    rateBurst: field.integer({
      env: name('BURST'),
      doc: `Publications that a token subject may publish at once before ${prefix}_RATE holds it back.`,
      fallback: 20_000,
      min: 1,
    }),
  };
}
