/** One request to an address that somebody outside the fleet has given. */
export interface OutboundRequest {
  readonly url: string;
  readonly method: 'POST' | 'GET' | 'OPTIONS' | 'NOTIFY';
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** From the first lookup to the end of the answer, in milliseconds. */
  readonly timeoutMs: number;
  /** How much of the body of the answer is kept, in bytes; PUSHFLEET_OUTBOUND_RESPONSE_BYTES where absent. */
  readonly answerBytes?: number;
}

/** What came back. */
export interface OutboundAnswer {
  readonly status: number;
  /** Names in lower case; of a repeated name the values joined with `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** The beginning of the body, at most `answerBytes`. */
  readonly body: Uint8Array;
  /** There was more of it. */
  readonly truncated: boolean;
}

/** Why no answer came. `refused`: the fleet's own rules forbid the call, and will at the next attempt. */
export type CallFailure = 'refused' | 'lookup' | 'connect' | 'tls' | 'timeout' | 'protocol';

export class CallError extends Error {
  override readonly name = 'CallError';
  readonly failure: CallFailure;

  constructor(failure: CallFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** Calls addresses outside the fleet. A part: its connections close with it. */
export interface Caller {
  /**
   * Never follows a redirect: a 3xx is an answer like any other.
   *
   * @throws CallError whose message says to the owner of the address what is wrong with it
   */
  call(request: OutboundRequest): Promise<OutboundAnswer>;
  /**
   * What can be said of an address before it is called: scheme, userinfo, port, a literal that is never called.
   *
   * @throws PushfleetError `target_refused`
   */
  check(url: string): void;
}
