import type { Topic } from '@pushfleet/core';
import type { CloseCode, Presence, Wire } from '@pushfleet/edge';
import type { Hub } from '@pushfleet/hub';
import type { Publishing } from '@pushfleet/intake';
import type { Grant, Quotas, TimerWheel } from '@pushfleet/runtime';
import type { SessionAuth } from '../auth/renewal.ts';
import type { Will } from '../codec.ts';
import type { OutboundShared } from './outbound-options.ts';
import type { SharedGroups } from './shared-groups.ts';
import type { HeldSession } from './store.ts';
import type { ServerTerms, Terms } from './terms.ts';

/** What the sessions of one edge share. */
export interface SessionShared extends OutboundShared {
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  readonly server: ServerTerms;
  /** Filters of one session. */
  readonly filters: number;
  /** Where clients go on a drain (section 4.11); undefined: they are not told. */
  readonly serverReference: string | undefined;
  readonly quotas: Pick<Quotas, 'subscribe' | 'unsubscribe'>;
  readonly groups: Pick<SharedGroups, 'enter' | 'resume' | 'leave' | 'attach'>;
  readonly publishing: Pick<Publishing, 'publish'>;
  readonly presence: Pick<Presence, 'leaveAll'>;
  /** Names the connection of a token. */
  nameOf(grant: Grant): string;
  onEnd(code: CloseCode): void;
  onError(error: unknown): void;
}

/** The way to the client; a link is one. */
export interface SessionWire extends Wire {
  /** Takes no more packets, and goes on; each once in turn. */
  hold(): void;
  release(): void;
}

export interface SessionOptions {
  readonly wire: SessionWire;
  readonly hub: Pick<Hub, 'open'>;
  readonly grant: Grant;
  /** Undefined: not by an authentication method. */
  readonly auth: SessionAuth | undefined;
  readonly connection: string;
  readonly clientId: string;
  readonly will: Pick<Will, 'topic' | 'properties'> | undefined;
  /** It is present on them. */
  readonly topics: readonly Topic[];
  readonly terms: Terms;
  readonly session: HeldSession;
  /** Names the client for "no local". */
  readonly origin: string;
  /** When it is asked to come back for its age, Unix time in milliseconds; Infinity: never. */
  readonly agedAt: number;
}
