import type { RevocationServiceServer } from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { RevocationRegister } from '../revocations.ts';
import { streamRevocations } from './revocation-stream.ts';
import type { Watches } from './watches.ts';

export function revocationService(
  revocations: RevocationRegister,
  watches: Watches,
): RevocationServiceServer {
  return {
    watchRevocations: (call) => watches.open(call, (sink) => streamRevocations(revocations, sink)),
  };
}
