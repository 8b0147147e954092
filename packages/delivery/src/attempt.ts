/** What became of an attempt. */
export type Verdict =
  /** The receiver took it. */
  | 'delivered'
  /** It did not, and is tried again. */
  | 'failed'
  /** It asks for less; tried again, and it is called less often meanwhile. */
  | 'throttled'
  /** It will never take this one, as it is: a dead letter at once. */
  | 'rejected'
  /** It wants nothing any more: its subscription ends. Of a question: a no that will not change. */
  | 'gone';

/** What one call to a receiver brought. */
export interface Outcome {
  readonly verdict: Verdict;
  /** How long the receiver asks to wait, in milliseconds. */
  readonly retryAfterMs?: number;
  readonly status?: number;
  readonly durationMs: number;
  /** Why it was not taken, for the owner of the subscription. Never a secret. */
  readonly error?: string;
  readonly response?: CapturedResponse;
}

/** The beginning of a receiver's answer. */
export interface CapturedResponse {
  readonly headers: Readonly<Record<string, string>>;
  /** As text; bytes that are not UTF-8 are replaced. */
  readonly body: string;
  readonly truncated: boolean;
}

/** Why a receiver is called. */
export type Why = 'publication' | 'test' | 'handshake' | 'farewell';

/** An attempt as it is kept for the owner of the subscription. */
export interface Attempt extends Outcome {
  /** Of the delivery: the same for all its attempts. */
  readonly id: string;
  readonly why: Why;
  /** Unix time in milliseconds. */
  readonly at: number;
  /** 1 for the first. */
  readonly attempt: number;
  readonly publication?: PublicationRef;
  /** When it is tried again, Unix time in milliseconds. */
  readonly nextAt?: number;
}

/** Which publication it was about. */
export interface PublicationRef {
  readonly id: string;
  readonly source: string;
  readonly topic: string;
  readonly type?: string;
  readonly cursor: string;
}

/** A delivery that was given up. */
export interface DeadLetter {
  /** Names the letter among those of its subscription. */
  readonly letter: string;
  /** Of the delivery. */
  readonly id: string;
  /** When it was given up, Unix time in milliseconds. */
  readonly at: number;
  readonly reason: string;
  readonly attempts: number;
  readonly publication: PublicationRef;
}
