import type { Connack, Connect, Peer } from '../codec.ts';
import type { Encoding } from '../publication/message.ts';

/** What this server takes of each client; see `config.ts` for the units. */
export interface ServerTerms {
  /** Largest packet, in bytes. */
  readonly packetBytes: number;
  /** QoS 1 and 2 publications of a client that are not acknowledged yet. */
  readonly receiveMaximum: number;
  /** Topic aliases of a client, and those that one is sent. */
  readonly topicAliases: number;
  /** QoS 1 and 2 publications to a client that it has not acknowledged yet. */
  readonly inflight: number;
  /** Longest Session Expiry Interval, in seconds. */
  readonly expiryMost: number;
  /** Longest keep alive, in seconds. */
  readonly keepAlive: number;
}

/** What both sides agreed on for one connection. */
export interface Terms {
  readonly peer: Peer;
  readonly encoding: Encoding;
  /** In seconds; 0: none. */
  readonly keepAlive: number;
  /** Session Expiry Interval in seconds. */
  readonly expiry: number;
  /** Publications of QoS 1 and 2 that may be on their way to the client, and to this server. */
  readonly sendMaximum: number;
  readonly receiveMaximum: number;
  /** Aliases that the client is sent, and those that it may send. */
  readonly sendAliases: number;
  readonly receiveAliases: number;
}

/** What a CONNECT asks for, within what this server has. */
export function agree(connect: Connect, server: ServerTerms): Terms {
  const { version, keepAlive, properties } = connect;
  const v5 = version === 5;
  return {
    peer: {
      version,
      packetBytes: properties.maximumPacketSize,
      problemInformation: properties.requestProblemInformation,
    },
    encoding: v5 ? (eventModeOf(connect) === undefined ? 5 : 'event') : 4,
    keepAlive: v5 ? keepAliveOf(keepAlive, server.keepAlive) : keepAlive,
    expiry: Math.min(expiryOf(connect), server.expiryMost),
    sendMaximum: Math.min(properties.receiveMaximum ?? 65_535, server.inflight),
    // Before MQTT 5 a client cannot be told of a maximum, so it has none but the number of packet identifiers.
    receiveMaximum: v5 ? server.receiveMaximum : 65_535,
    sendAliases: Math.min(properties.topicAliasMaximum ?? 0, server.topicAliases),
    receiveAliases: v5 ? server.topicAliases : 0,
  };
}

/** The user property of CONNECT by which a client asks for publications as CloudEvents, and of CONNACK that says yes. */
export const eventMode = { property: 'cloudevents', value: 'binary' } as const;

/** What it has in a CONNECT. */
export const eventModeOf = ({ properties: { userProperties = [] } }: Connect): string | undefined =>
  userProperties.find(([name]) => name === eventMode.property)?.[1];

// [MQTT-3.2.2-21]: the client uses what the server says. Before MQTT 5 it is not told, and its own word holds.
const keepAliveOf = (asked: number, most: number): number => (asked === 0 ? most : Math.min(asked, most));

/** Section 3.1.2.11.2, and [MQTT-3.1.2-6] of 3.1.1: a session without Clean Session is kept for as long as can be. */
const expiryOf = ({ version, cleanStart, properties }: Connect): number =>
  version === 5 ? (properties.sessionExpiryInterval ?? 0) : cleanStart ? 0 : 0xffff_ffff;

/**
 * What CONNACK tells the client of it (section 3.2.2.3), where it is not what the client takes for granted.
 * @param clientId the one that it has, perhaps by assignment
 */
export function told(
  connect: Connect,
  clientId: string,
  terms: Terms,
  server: ServerTerms,
): Connack['properties'] {
  return {
    ...(connect.clientId === '' && { assignedClientIdentifier: clientId }),
    ...(terms.expiry !== expiryOf(connect) && { sessionExpiryInterval: terms.expiry }),
    ...(terms.keepAlive !== connect.keepAlive && { serverKeepAlive: terms.keepAlive }),
    receiveMaximum: terms.receiveMaximum,
    maximumPacketSize: server.packetBytes,
    ...(terms.receiveAliases > 0 && { topicAliasMaximum: terms.receiveAliases }),
    ...(terms.encoding === 'event' && { userProperties: [[eventMode.property, eventMode.value]] }),
  };
}
