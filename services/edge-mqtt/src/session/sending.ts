import type { Publication } from '@pushfleet/core';
import type { Sending } from '../codec.ts';
import { expiryOf, qosOf } from '../publication/message.ts';
import type { OutgoingAliases } from './aliases.ts';
import type { Wanted } from './subscriptions.ts';

// What of a PUBLISH is one receiver's own.

/** For who is sent something that is its own in any case. */
export const noAlias = { topicAlias: 0, aliasKnown: false } as const;

/** @param retained it comes because it is its topic's retained publication */
export function sendingOf(
  publication: Publication,
  { qos, retainAsPublished, subscriptionIds }: Wanted,
  retained: boolean,
  now: () => number,
): { -readonly [K in keyof Sending]: Sending[K] } {
  const published = qosOf(publication);
  return {
    qos: qos < published ? qos : published,
    dup: false,
    // [MQTT-3.3.1-8], [MQTT-3.3.1-12], [MQTT-3.3.1-13]
    retain: retained || (retainAsPublished && publication.retain === true),
    packetId: 0,
    expiry: expiryOf(publication, now),
    subscriptionIds,
    topicAlias: 0,
    aliasKnown: false,
  };
}

/** With the alias of its topic, or the topic and an alias from now on where both fit. */
export function aliased(
  sending: Sending,
  aliases: OutgoingAliases,
  topic: string,
  fits: (sending: Sending) => boolean,
): Sending {
  const known = aliases.known(topic);
  if (known !== undefined) return { ...sending, topicAlias: known, aliasKnown: true };
  const { next } = aliases;
  const told = { ...sending, topicAlias: next };
  if (next === 0 || !fits(told)) return sending;
  aliases.assign(topic);
  return told;
}
