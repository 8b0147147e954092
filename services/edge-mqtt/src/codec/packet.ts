import type { FilterName } from './names.ts';
import type { Properties } from './properties.ts';
import type { Reason } from './reason.ts';
import type { Version } from './violation.ts';

// The packets of MQTT 5 section 3. In 3.1 and 3.1.1 they have the same fields with the values that are implied there:
// no properties, success as the reason.

export type Qos = 0 | 1 | 2;

/** Section 3.1.3: what is published when the client is lost. */
export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: Properties<'will'>;
}

export interface Connect {
  readonly type: 'connect';
  readonly version: Version;
  /** Clean Session before MQTT 5. */
  readonly cleanStart: boolean;
  /** In seconds; 0: none. */
  readonly keepAlive: number;
  /** Empty: the server assigns one. */
  readonly clientId: string;
  readonly will: Will | undefined;
  readonly userName: string | undefined;
  readonly password: Buffer | undefined;
  readonly properties: Properties<'connect'>;
}

interface PublishContent {
  readonly type: 'publish';
  readonly retain: boolean;
  /** Undefined: the one that `properties.topicAlias` stands for. */
  readonly topic: string | undefined;
  readonly payload: Buffer;
  readonly properties: Properties<'publish'>;
}

export type Publish = PublishContent &
  (
    | { readonly qos: 0; readonly dup: false; readonly packetId: undefined }
    | { readonly qos: 1 | 2; readonly dup: boolean; readonly packetId: number }
  );

export type AckType = 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';

/** PUBACK, PUBREC, PUBREL or PUBCOMP. */
export interface Ack {
  readonly type: AckType;
  readonly packetId: number;
  readonly reason: Reason;
  readonly properties: Properties<'outcome'>;
}

/** A topic filter with its subscription options (section 3.8.3.1). */
export interface Subscription extends FilterName {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** Retained messages are sent always, to a new subscription alone, or never. */
  readonly retainHandling: 0 | 1 | 2;
}

export interface Subscribe {
  readonly type: 'subscribe';
  readonly packetId: number;
  /** At least one. */
  readonly subscriptions: readonly Subscription[];
  readonly properties: Properties<'subscribe'>;
}

export interface Unsubscribe {
  readonly type: 'unsubscribe';
  readonly packetId: number;
  /** At least one. */
  readonly filters: readonly FilterName[];
  readonly properties: Properties<'unsubscribe'>;
}

export interface Pingreq {
  readonly type: 'pingreq';
}

export interface Disconnect {
  readonly type: 'disconnect';
  readonly reason: Reason;
  readonly properties: Properties<'disconnect'>;
}

export interface Auth {
  readonly type: 'auth';
  readonly reason: Reason;
  readonly properties: Properties<'auth'>;
}

/** What clients send. */
export type ClientPacket = Connect | Publish | Ack | Subscribe | Unsubscribe | Pingreq | Disconnect | Auth;

export interface Connack {
  readonly type: 'connack';
  readonly sessionPresent: boolean;
  readonly reason: Reason;
  readonly properties: Properties<'connack'>;
}

/** SUBACK or UNSUBACK: a reason for each filter, in their order. */
export interface Suback {
  readonly type: 'suback' | 'unsuback';
  readonly packetId: number;
  readonly reasons: readonly Reason[];
  readonly properties: Properties<'outcome'>;
}

export interface Pingresp {
  readonly type: 'pingresp';
}

/** A server's DISCONNECT says nothing of the session's expiry ([MQTT-3.14.2-2]). */
export interface ServerDisconnect extends Omit<Disconnect, 'properties'> {
  readonly properties: Omit<Properties<'disconnect'>, 'sessionExpiryInterval'>;
}

/** What this server sends, but for PUBLISH: that is an `OutgoingPublish`. */
export type ServerPacket = Connack | Ack | Suback | Pingresp | ServerDisconnect | Auth;
