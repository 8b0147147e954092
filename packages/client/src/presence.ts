export type PresenceStatus = 'online' | 'away' | 'busy' | 'offline';

export interface EnterOptions {
  /** `online` where absent. */
  readonly status?: PresenceStatus;
  /** Something small for the others to know, such as a name or a colour: any JSON value. */
  readonly state?: unknown;
}

/** Who is on a topic. One subject is there once for each of its clients, such as tabs. */
export interface Member {
  readonly subject: string;
  readonly client: string;
  readonly status: PresenceStatus;
  readonly state?: unknown;
  /** Since when it is there, and when it last changed. */
  readonly since: Date;
  readonly changed: Date;
}

export interface PresenceChange extends Member {
  readonly kind: 'entered' | 'updated' | 'left' | 'expired';
}

/** Who is on one topic. Entering, leaving and listing go over WebSocket alone; watching goes over every transport. */
export interface Presence {
  readonly topic: string;
  /** Enters, and enters again after each loss of the connection until `leave`. A second call changes status and state. */
  enter(options?: EnterOptions): Promise<void>;
  leave(): Promise<void>;
  list(): Promise<readonly Member[]>;
  /** Hears of every change from now on. @returns a function that ends it */
  watch(handler: (change: PresenceChange) => void): () => void;
}
