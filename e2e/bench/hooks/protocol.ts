/** What the benchmark tells the process that receives webhooks. */
export type Command =
  | { readonly kind: 'open' }
  /** These endpoints are never answered from here on; all others are. */
  | { readonly kind: 'hang'; readonly endpoints: readonly number[] }
  | { readonly kind: 'mark' }
  | { readonly kind: 'count' };

/** Requests since the last mark to endpoints that answer. Latencies in microseconds. */
export interface Counted {
  /** Of each endpoint that got any. */
  readonly counts: readonly number[];
  readonly latencies: readonly number[];
}

/** What it answers. `progress` comes by itself. */
export type Reply =
  | { readonly kind: 'opened'; readonly port: number }
  | { readonly kind: 'hung' | 'marked' }
  | { readonly kind: 'progress'; readonly total: number }
  | ({ readonly kind: 'counted' } & Counted);
