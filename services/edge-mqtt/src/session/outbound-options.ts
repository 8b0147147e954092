import type { OutflowShared, Wire } from '@pushfleet/edge';
import type { CloseReason, Hub } from '@pushfleet/hub';
import type { Grant } from '@pushfleet/runtime';
import type { Ack } from '../codec.ts';
import type { PacketIds } from './packet-ids.ts';
import type { HeldSession } from './store.ts';
import type { Terms } from './terms.ts';

/** What the outbounds of one edge share. */
export interface OutboundShared extends OutflowShared {
  readonly packetIds: PacketIds;
}

export interface OutboundOptions {
  readonly shared: OutboundShared;
  readonly hub: Pick<Hub, 'open'>;
  readonly wire: Pick<Wire, 'write'>;
  readonly session: Pick<HeldSession, 'sending' | 'received' | 'finished'>;
  readonly terms: Pick<Terms, 'peer' | 'encoding' | 'expiry' | 'sendMaximum' | 'sendAliases'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly owner: OutboundOwner;
}

/** Whose client it is that is sent something. */
export interface OutboundOwner {
  /** The hub closed the feed. */
  onClose(reason: CloseReason): void;
  /** The one in force. */
  readonly grant: Pick<Grant, 'maySubscribe'>;
  /** The session could not be told something. */
  onFailed(error: unknown): void;
  say(ack: Ack): void;
  /** The client acknowledged what it cannot have got. */
  onDisorder(): void;
}
