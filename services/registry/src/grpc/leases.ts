import type { HoldLeaseResponse, LeaseServiceServer } from '@pushfleet/proto/pushfleet/registry/v1/leases';
import type { Log } from '@pushfleet/runtime';
import { readLease } from '../presence/check-entry.ts';
import { presenceLimits } from '../presence/limits.ts';
import type { PresenceRegister } from '../presence/register.ts';
import { unary } from './unary.ts';
import type { Sink, Watches } from './watches.ts';

export function leaseService(presence: PresenceRegister, watches: Watches, log: Log): LeaseServiceServer {
  return {
    holdLease: (call) =>
      watches.open(call, (sink: Sink<HoldLeaseResponse>) =>
        presence.holding.hold({
          lease: readLease(call.request.instanceId),
          service: call.request.service.slice(0, presenceLimits.nameLength),
          onHeld: ({ until, resumed }) => void sink.write({ leaseUntil: new Date(until), resumed }),
          onEnd: (error) => sink.end(error),
        }),
      ),
    endLease: unary(log, async ({ instanceId }) => {
      await presence.end(readLease(instanceId));
      return {};
    }),
  };
}
