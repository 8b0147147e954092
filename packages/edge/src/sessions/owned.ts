import type { Cursor, Namespace } from '@pushfleet/core';
import type {
  ReleaseSessionRequest,
  Session,
  SessionState,
  UpdateSessionRequest,
  Will,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';

/** Which session is asked for, and on what terms; see AcquireSessionRequest. */
export interface SessionClaim {
  readonly namespace: Namespace;
  readonly id: string;
  readonly subject: string;
  readonly clean: boolean;
  readonly mustExist?: boolean;
  readonly expirySeconds: number;
  readonly will?: Will;
}

/** Who holds a session: says what is to be kept of it, and hears that it is lost. */
export interface SessionKeeper {
  /**
   * The hot state, asked for right before it is sent: the whole of it, or what changed since it was last asked for. A
   * field that is `undefined` is removed. What was asked for and could not be stored is asked for again as a whole.
   */
  state(whole: boolean): {
    readonly cursor: Cursor | undefined;
    readonly fields: Readonly<Record<string, Uint8Array | undefined>>;
  };
  /** Nothing of this one is kept any more. Called once at most. */
  onLost(reason: Loss): void;
}

/**
 * Why a session is lost: somebody else has it; it was ended; or nobody has it, because the fleet heard nothing of this
 * instance for so long that it took it for dead.
 */
export type Loss = 'taken' | 'ended' | 'lapsed';

/** A session of the registry in the hands of this instance. Its methods reject with PushfleetError, `conflict` or `unavailable` once it is lost. */
export interface OwnedSession {
  /** As of the last change by this owner. */
  readonly record: Session;
  /** It existed and was kept. */
  readonly resumed: boolean;
  /** The hot state of its last owner; absent for a new one, and where it was lost. */
  readonly state: SessionState | undefined;
  /** Settles when what the keeper says now is stored. All that ask meanwhile share one write. */
  commit(): Promise<void>;
  /** What the keeper says now is stored with the next commit, within a second at the latest. Nobody waits for it. */
  commitSoon(): void;
  update(change: Omit<Partial<UpdateSessionRequest>, 'key' | 'generation' | 'number'>): Promise<Session>;
  /** The connection is gone: what is still to be committed is, then the session is released. Nothing may be told afterwards. */
  release(how: Omit<Partial<ReleaseSessionRequest>, 'key' | 'generation' | 'lastCommit'>): Promise<void>;
  end(how: { readonly discardWill: boolean }): Promise<void>;
}

/** The sessions of one protocol that this instance holds. */
export interface SessionDesk {
  /** @throws PushfleetError `conflict`, `forbidden`, `too_many_connections`, `unavailable` */
  acquire(claim: SessionClaim, keeper: SessionKeeper): Promise<OwnedSession>;
}
