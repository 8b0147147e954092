export { type ConnectOptions, connect, type Limits } from './connect.ts';
export type { Payload, PublishOptions } from './draft.ts';
export { PublishError, type PublishErrorCode } from './error.ts';
export type { OnRetry, Publication, Publisher, Unacknowledged, Waiting } from './publisher.ts';
export type { Receipt } from './receipt.ts';
export type { TokenOption } from './token.ts';
export type { TlsOptions } from './transport.ts';
