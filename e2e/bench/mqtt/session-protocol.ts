/** A client with a session, in base64. */
export interface SessionEntrance {
  readonly connect: string;
  /** Sent once the connection is accepted; empty: it is subscribed already. */
  readonly subscribe: string;
}

/** What the benchmark tells a process of clients with sessions. */
export type SessionCommand =
  /** Connects all of them, so many at a time. */
  | {
      readonly kind: 'come';
      readonly host: string;
      readonly port: number;
      readonly sources: readonly string[];
      readonly atOnce: number;
      readonly entrances: readonly SessionEntrance[];
      /** Whether they acknowledge what comes. */
      readonly answers: boolean;
    }
  /** From now on nothing is acknowledged. */
  | { readonly kind: 'mute' }
  /** Resolves when each of them was given so much since it came. */
  | { readonly kind: 'await'; readonly publications: number }
  /** Says DISCONNECT, which keeps the session. */
  | { readonly kind: 'leave' };

export type SessionReply =
  | {
      readonly kind: 'came';
      /** How many of them found their sessions. */
      readonly present: number;
    }
  | { readonly kind: 'muted' | 'left' }
  | {
      readonly kind: 'given';
      readonly publications: number;
      /** Of these, with DUP. */
      readonly again: number;
    }
  | { readonly kind: 'failed'; readonly reason: string };
