import type { Cursor, Namespace, Publication, TopicFilter } from '@pushfleet/core';
import type { Loss } from '@pushfleet/edge';
import type { Grant } from '@pushfleet/runtime';
import type { Qos, Will } from '../codec.ts';
import type { Places } from './given.ts';

// Where sessions lie (MQTT 5 section 4.1). An engine holds one while its client is connected and tells it all that has to
// outlive the connection, before the client can know of it. What is kept how, and where, is the store's.
//
// A method that answers `undefined` has nothing to wait for. One that rejects has not kept what it was told: with
// `conflict` because somebody else holds the session by now, with `unavailable` because it is out of reach.

/** Whose session it is. The same client id of another subject is another client: nobody takes over what is not theirs. */
export interface SessionKey {
  readonly namespace: Namespace;
  readonly subject: string;
  readonly clientId: string;
}

/** A subscription of a session. */
export interface Held {
  /** The ShareName of a shared one (section 4.8.2), of which `filter` is the rest. */
  readonly share: string | undefined;
  /** Names the group of a shared one in the log, as the store has given it; undefined: not yet. */
  readonly group: string | undefined;
  readonly filter: TopicFilter;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** That of its SUBSCRIBE, or none. */
  readonly subscriptionIds: readonly number[];
}

/**
 * A PUBLISH of QoS 1 or 2 as it is sent, but for what the connection adds to it. What came by a shared subscription
 * is the session's where its QoS is 2 ([MQTT-4.8.2-4], [MQTT-4.8.2-5]), and otherwise its group's until PUBACK.
 */
export interface Sent {
  readonly packetId: number;
  readonly qos: 1 | 2;
  readonly publication: Publication;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[];
}

/** What was sent and is not acknowledged to the end. */
export interface Unfinished {
  readonly packetId: number;
  /** Undefined: its PUBREC came, and PUBREL is what is owed. */
  readonly sent: Sent | undefined;
}

/** What was kept of a session. */
export interface Kept {
  readonly subscriptions: readonly Held[];
  /** Where their supply goes on; undefined where there were none yet. */
  readonly cursor: Cursor | undefined;
  /** In the order in which they were sent ([MQTT-4.6.0-1]). */
  readonly unfinished: readonly Unfinished[];
  /** What of QoS 2 the session was given lately: its supply may go back behind `cursor`, and that is not given again. */
  readonly given: Places;
  /**
   * What was under way is not known any more. The client is told that there is no session, so that it forgets its part
   * of that: a packet identifier of QoS 2 that it holds would swallow another publication. What it is subscribed to is
   * kept, and given from a place where nothing was under way.
   */
  readonly lost: boolean;
}

/** A will, and the right by which it is published when its client is gone. */
export interface OwedWill {
  readonly will: Will;
  readonly grant: Grant;
  /** As that of the client's own publications. */
  readonly origin: string;
}

export interface Claim {
  readonly key: SessionKey;
  /** What was kept is dropped. */
  readonly cleanStart: boolean;
  /** Session Expiry Interval in seconds, as CONNACK says it. */
  readonly expiry: number;
  readonly will: OwedWill | undefined;
  /** Nothing of this one is kept any more. Called once at most. */
  onLost(how: Loss): void;
}

export interface Leaving {
  /** Session Expiry Interval in seconds; what a DISCONNECT says replaces that of the CONNECT. */
  readonly expiry: number;
  /** The client said goodbye, and there is no will any more ([MQTT-3.14.4-3]). */
  readonly withoutWill: boolean;
  /** Where the supply goes on. */
  readonly cursor: Cursor | undefined;
}

/** A QoS 2 publication that a client sends. */
export interface Incoming {
  /** The publication's id: the same for all sendings of one packet identifier until its PUBREL, on any connection. */
  readonly id: string;
  /** The log has it. */
  readonly stored: boolean;
}

/** A session in the hands of the connection that took it. */
export interface HeldSession {
  /** Undefined: the session is new ([MQTT-3.2.2-2]). */
  readonly kept: Kept | undefined;
  /**
   * What is subscribed from now on, before SUBACK or UNSUBACK says so. Resolves with the shared ones among it, each with
   * its group: what is stored from then on comes to one of that.
   */
  subscribed(all: readonly Held[], cursor: Cursor): Promise<readonly Held[]> | undefined;
  /**
   * What is about to be sent, in its order; before it is. The place behind it all is `cursor`.
   *
   * @param isOwn it comes by the session's own supply, not by a group
   */
  sending(sent: readonly Sent[], cursor: Cursor, isOwn: boolean): Promise<void> | undefined;
  /** Its PUBREC came: it is never sent again; before PUBREL is sent ([MQTT-4.3.3-8]). */
  received(packetId: number): Promise<void> | undefined;
  /** It is acknowledged to the end. Where that gets lost it is sent once more. */
  finished(packetId: number): void;
  /** A QoS 2 PUBLISH came under this packet identifier. Its id is on record when this settles, and before the log is asked. */
  incoming(packetId: number): Incoming | Promise<Incoming>;
  /** The log has it; before PUBREC is sent ([MQTT-4.3.3-9]). */
  stored(packetId: number): Promise<void> | undefined;
  /** PUBREL came, or the log refused it: the packet identifier is free; before PUBCOMP. */
  released(packetId: number): Promise<void> | undefined;
  /** Another grant of the client is in force: its will is published by that one. */
  renewed(grant: Grant): Promise<void> | undefined;
  /** The connection is gone. Nothing may be told afterwards. */
  leave(leaving: Leaving): Promise<void> | undefined;
}

export interface SessionStore {
  /**
   * Makes the session this connection's, whoever had it: that one is told, and what it writes from then on is refused.
   *
   * @throws PushfleetError `unavailable`, or `too_many_connections` where it keeps its most sessions
   */
  take(claim: Claim): Promise<HeldSession>;
  /** Sessions that this process has, for its operators. */
  readonly size: number;
  /** After the last connection: resolves once what was told of it is on record. */
  drain(): Promise<void>;
}
