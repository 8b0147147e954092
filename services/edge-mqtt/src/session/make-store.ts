import type { Backbone } from '@pushfleet/core';
import type { SessionDesk } from '@pushfleet/edge';
import type { Log, TimerWheel } from '@pushfleet/runtime';
import { MemoryStore } from './memory-store.ts';
import { RegistryStore } from './registry-store.ts';
import type { OwedWill, SessionStore } from './store.ts';

export interface MakeStoreOptions {
  /** Undefined: there is no registry, and sessions end with this process. */
  readonly desk: SessionDesk | undefined;
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Most sessions where they lie in this process. */
  readonly sessions: number;
  /** Most publications of QoS 2 that a session remembers to have given. */
  readonly given: number;
  readonly log: Pick<Log, 'warn'>;
  /** Of a session that lies in this process. */
  publishWill(owed: OwedWill): void;
}

/** Where the sessions of this process lie. */
export function makeStore(options: MakeStoreOptions): SessionStore {
  const { desk, backbone, wheel, sessions, given, log, publishWill } = options;
  if (desk !== undefined) {
    return new RegistryStore({
      ...{ desk, given },
      bus: (namespace) => backbone.bus(namespace),
      onUnreadable: (err) => log.warn({ err }, 'what was kept of a session cannot be read'),
    });
  }
  return new MemoryStore({
    ...{ sessions, given },
    after: (ms, run) => wheel.after(ms, run),
    publishWill,
    groups: {
      bus: (namespace) => backbone.bus(namespace),
      onError: (err) => log.warn({ err }, 'a group that nobody is in any more stays in the log'),
    },
  });
}
