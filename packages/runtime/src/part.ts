import type { Backbone, Lifecycle } from '@pushfleet/core';

/** Something a service consists of. Parts start in order, drain all at once and close in reverse order. */
export interface Part extends Lifecycle {
  readonly name: string;
  /** Why this part cannot serve at this moment, for a person; undefined when it can. */
  ready?(): string | undefined;
}

/** A lifecycle as a part. */
export function part(name: string, of: Lifecycle): Part {
  return {
    name,
    start: () => of.start(),
    drain: (deadline) => of.drain(deadline),
    close: () => of.close(),
  };
}

/** The same, drained only when what it serves has drained: what was accepted still needs it. */
export function afterwards(drained: Promise<void>, of: Lifecycle): Lifecycle {
  return {
    start: () => of.start(),
    drain: async (deadline) => {
      await drained;
      await of.drain(deadline);
    },
    close: () => of.close(),
  };
}

/** The log as a part: without it a service is not ready. `of` stands in where its lifecycle is wrapped. */
export function logPart(backbone: Backbone, of: Lifecycle = backbone): Part {
  return { ...part('log', of), ready: () => (backbone.ready ? undefined : logAway) };
}

const logAway = 'the log (NATS) is out of reach, or "pushfleet migrate" never set it up';
