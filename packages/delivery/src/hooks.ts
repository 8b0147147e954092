import { randomUUID } from 'node:crypto';
import { type Backbone, PushfleetError, parseTopic } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import type { SubscriptionRef } from './place.ts';

/** What may be said of a subscription on its topic `$hooks/<id>`. */
export type HookEvent = 'suspended' | 'gone' | 'dead_letter' | 'handshake_failed' | 'replay_gap';

/** Topics of such news begin with it. */
export const hooksLevel = '$hooks/';

/**
 * Tells whoever looks after a subscription what became of it, as a publication of its namespace. Nothing waits for
 * it: a publication that cannot be stored now is only logged.
 */
export function createHookNews(backbone: Pick<Backbone, 'bus'>, source: string, log: Log) {
  return (ref: SubscriptionRef, event: HookEvent, detail: Readonly<Record<string, unknown>>): void => {
    const draft = {
      id: randomUUID(),
      source,
      topic: parseTopic(hooksLevel + ref.id),
      type: `pushfleet.hook.${event}`,
      contentType: 'application/json',
      payload: Buffer.from(JSON.stringify({ subscription: ref.id, ...detail })),
    };
    void backbone
      .bus(ref.namespace)
      .publish([draft])
      .then(([answer]) => {
        if (answer instanceof PushfleetError)
          log.warn({ err: answer, event, ...ref }, 'news of a hook was lost');
      });
  };
}

export type HookNews = ReturnType<typeof createHookNews>;
