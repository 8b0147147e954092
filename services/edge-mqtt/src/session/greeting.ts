import type { Why } from '../close-code.ts';
import {
  type Connack,
  type Connect,
  encode,
  type Peer,
  type Reason,
  reasons,
  type ServerPacket,
} from '../codec.ts';
import type { SessionOptions, SessionShared } from './session-options.ts';
import { told } from './terms.ts';

/** No bytes: for who is told nothing. */
export const nothing: Buffer = Buffer.alloc(0);

/** What is said on a connection whose session is not its own any more. */
export const losses = {
  taken: {
    code: 'conflict',
    reason: reasons.sessionTakenOver,
    says: 'Another connection of this client took the session over.',
  },
  ended: { code: 'conflict', reason: reasons.administrativeAction, says: 'The session was ended.' },
  lapsed: {
    code: 'unavailable',
    reason: reasons.serverBusy,
    says: 'The fleet had lost touch with this instance; come back.',
  },
} as const;

/** CONNACK of an accepted CONNECT; undefined: the client does not take a packet of its size. */
export function welcome(
  connect: Connect,
  { clientId, terms, session, auth }: Pick<SessionOptions, 'clientId' | 'terms' | 'session' | 'auth'>,
  { server }: Pick<SessionShared, 'server'>,
): Buffer | undefined {
  const properties: Connack['properties'] = {
    ...told(connect, clientId, terms, server),
    // [MQTT-4.12.0-5]; the last data go with it (section 4.12).
    ...(auth !== undefined && { authenticationMethod: auth.method, authenticationData: auth.data }),
  };
  const sessionPresent = session.kept?.lost === false;
  return encode({ type: 'connack', sessionPresent, reason: reasons.success, properties }, terms.peer);
}

/** The last packet; no bytes for who knows no DISCONNECT of a server. */
export function farewell(
  peer: Peer,
  reason: Reason,
  why: Why,
  { serverReference }: Pick<SessionShared, 'serverReference'>,
): Buffer {
  const elsewhere = reason === reasons.serverShuttingDown && serverReference !== undefined;
  const packet: ServerPacket = {
    type: 'disconnect',
    reason: elsewhere ? reasons.useAnotherServer : reason,
    properties: { ...why, ...(elsewhere && { serverReference }) },
  };
  return encode(packet, peer) ?? nothing;
}
