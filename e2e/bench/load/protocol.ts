/** What the benchmark tells a sink process. */
export type Command =
  | {
      readonly kind: 'open';
      readonly host: string;
      readonly port: number;
      /** One whole HTTP request a client. */
      readonly requests: readonly string[];
      /** Local addresses, taken in turn: one alone has too few ports for many connections. */
      readonly sources: readonly string[];
      /** Keep every byte for an exact comparison; for small runs alone. */
      readonly keep: boolean;
    }
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
  | { readonly kind: 'opened' | 'marked' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'progress'; readonly min: number }
  | ({ readonly kind: 'counted' } & Counted)
  | { readonly kind: 'transcripts'; readonly payloads: readonly (readonly string[])[] };
