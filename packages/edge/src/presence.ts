import type { Member, MemberState, PresenceStatus, Topic } from '@pushfleet/core';
import type { Grant, Part } from '@pushfleet/runtime';

/** By what a member is there. */
export interface PresenceClient {
  /**
   * What others see as the member's `client`, 1 to 1,024 bytes of UTF-8. A client that comes back under the same id,
   * wherever, is the same member, and nobody hears that it was away: take a name that the client keeps, and the
   * connection's id only where it has none.
   */
  readonly id: string;
  /** The connection (or session) of this edge that the member ends with. */
  readonly connection: string;
}

/** How somebody enters. */
export interface Entry extends Partial<MemberState> {
  /** Online where it is not said. */
  readonly status?: PresenceStatus;
  /** The member leaves after this time unless entered again, in milliseconds from 1,000, rounded up to seconds. Absent: with its connection. */
  readonly ttlMs?: number;
}

export interface MemberPage {
  /** From the page before; absent: from the beginning. */
  readonly after?: string;
  /** Most members, 1 to 1,000; 100 where it is not said. */
  readonly limit?: number;
  /** Only the clients of this subject. */
  readonly subject?: string;
}

export interface Members {
  /** In the order of subject and client. */
  readonly members: readonly Member[];
  /** The `after` of the next page; absent: this was the last one. */
  readonly next?: string;
  /** How many the topic has at this moment, on all pages. */
  readonly total: number;
}

/**
 * How a connection ended: `left`, the client said goodbye, and its members leave at once; `lost`, it may come back
 * (drain, age, a broken network), and its members linger for PUSHFLEET_PRESENCE_LINGER_SECONDS.
 */
export type Parting = 'left' | 'lost';

/**
 * Who is on a topic, as an edge says and asks it. All of them reject with PushfleetError: `forbidden` where the
 * grant or the topic's policy has no presence, `topic_invalid` for a topic of the fleet's own or one too long,
 * `request_invalid`, `payload_too_large` for the state, `rate_limited`, `storage_full` where topic or namespace have
 * their most members, `unavailable` without the registry or its Redis, `draining`.
 */
export interface Presence extends Part {
  /** Enters a topic, or says again how one is there; also the heartbeat of an entry with a time to live. */
  enter(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member>;
  /** Changes what is given of a member that entered by this connection. Rejects with `not_found` where none did. */
  update(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member>;
  /** Leaves a topic; harmless where it is not there. */
  leave(grant: Grant, topic: Topic, client: PresenceClient): Promise<void>;
  /** Who is on a topic. */
  list(grant: Grant, topic: Topic, page: MemberPage): Promise<Members>;
  /** The members of a connection that ended leave all their topics. Never rejects, and need not be waited for. */
  leaveAll(connection: string, how: Parting): void;
}
