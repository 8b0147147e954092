/** Something a client says over its WebSocket, and what it waits for before it goes on. */
export interface Turn {
  /** A text message; `{}` in it is what the first group of the turn before matched. */
  readonly say: string;
  /** A regular expression for what the server has sent since. */
  readonly until: string;
}

/** How a client begins. */
export interface Entrance {
  /** The whole HTTP request. */
  readonly request: string;
  /** Empty for a stream, and where the request already says what the client listens to. */
  readonly turns: readonly Turn[];
}

/** What the benchmark tells a sink process. */
export type Command =
  | {
      readonly kind: 'open';
      readonly host: string;
      readonly port: number;
      /** One for each client. */
      readonly entrances: readonly Entrance[];
      /** Local addresses, taken in turn: one alone has too few ports for many connections. */
      readonly sources: readonly string[];
      /** Keep every byte for an exact comparison; for small runs alone. */
      readonly keep: boolean;
      /** Every how many clients one has the latency of its messages taken. */
      readonly sampleEvery: number;
      /** Remember the id of each client's last event, so that it can come again. */
      readonly resume: boolean;
    }
  /** These clients go away by themselves. */
  | { readonly kind: 'cut'; readonly clients: readonly number[] }
  /** All clients come again at once, each naming its last event; `missed` is how many it has to be given. */
  | { readonly kind: 'return'; readonly port: number; readonly missed: readonly number[] }
  /** From now on these clients read nothing, and nobody waits for them. */
  | { readonly kind: 'stall'; readonly clients: readonly number[] }
  | { readonly kind: 'mark' }
  | { readonly kind: 'count' }
  | { readonly kind: 'transcripts' };

/** Events counted since the last mark. Latencies are of a few sampled clients, in microseconds. */
export interface Counted {
  readonly min: number;
  readonly max: number;
  readonly total: number;
  readonly latencies: readonly number[];
  /** Chunks read from sockets: how well the server coalesced, as far as reading lets it show. */
  readonly reads: number;
}

/** What a sink process answers. `progress` comes by itself and names its slowest client. */
export type Reply =
  | { readonly kind: 'opened' | 'marked' | 'cut' | 'stalled' }
  /** Every client has what it missed: when the last one had it, in microseconds of the machine's clock. */
  | { readonly kind: 'caughtUp'; readonly at: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'progress'; readonly min: number }
  | ({ readonly kind: 'counted' } & Counted)
  | { readonly kind: 'transcripts'; readonly payloads: readonly (readonly string[])[] };
