import { type Cursor, parseCursor } from '@pushfleet/core';
import { filterOf, kindOf } from './channel.ts';
import { type Message, ownExt, subscriptionsOf } from './message.ts';
import { requireRoom } from './room.ts';
import type { Session, SessionLimits } from './session.ts';
import type { Sessions } from './sessions.ts';

export interface SubscribeOptions {
  readonly sessions: Pick<Sessions, 'count'>;
  readonly limits: Pick<SessionLimits, 'subscriptions'>;
}

/** Subscribes to all channels of a message, or to none. @throws PushfleetError where one of them is refused */
export async function subscribe(
  session: Session,
  message: Message,
  { sessions, limits }: SubscribeOptions,
): Promise<void> {
  const { after, retained } = ownExt(message);
  const options = { ...(after !== undefined && { after: cursorOf(after) }), ...(retained && { retained }) };
  const added: string[] = [];
  try {
    for (const channel of subscriptionsOf(message, limits.subscriptions)) {
      // "Servers SHOULD NOT record any subscriptions they receive for service channels."
      if (kindOf(channel) === 'service' || session.subscriptions.has(channel)) continue;
      requireRoom(session, { channel, filter: filterOf(channel), ...(retained && { retained }) });
      await session.subscribe(channel, options);
      added.push(channel);
    }
    sessions.count(session);
  } catch (error) {
    for (const channel of added) session.unsubscribe(channel);
    throw error;
  }
}

/** Channels that it is not subscribed to are passed over. */
export async function unsubscribe(
  session: Session,
  message: Message,
  { sessions, limits }: SubscribeOptions,
): Promise<void> {
  for (const channel of subscriptionsOf(message, limits.subscriptions)) session.unsubscribe(channel);
  sessions.count(session);
}

function cursorOf(text: string): Cursor {
  parseCursor(text);
  return text as Cursor;
}
