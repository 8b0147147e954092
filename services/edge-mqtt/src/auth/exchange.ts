import type { Grant } from '@pushfleet/runtime';

/** What the server says to authentication data: it wants more, or it knows the client. */
export type Turn =
  | { readonly kind: 'continue'; readonly data: Buffer }
  | { readonly kind: 'known'; readonly grant: Grant; readonly data: Buffer | undefined };

/** One authentication by one method (section 4.12), from the client's first data to its grant. */
export interface Exchange {
  /** Takes the client's next data. Rejects with PushfleetError where they are not accepted, and is over then. */
  next(data: Buffer | undefined): Promise<Turn>;
}
