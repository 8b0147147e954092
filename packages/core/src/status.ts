import type { ErrorCode } from './error.ts';

/** gRPC status codes by name; the numbers are those of grpc/grpc doc/statuscodes.md. */
export const grpcStatus = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** What an error code means to a person and in the two APIs that every caller of the fleet knows. */
export interface CodeMeaning {
  readonly http: number;
  readonly grpc: keyof typeof grpcStatus;
  /** RFC 9457 `title`: the same for every occurrence of the code. */
  readonly title: string;
  /** Whether the same request can succeed later without a change. */
  readonly retry: boolean;
}

const row = (http: number, grpc: keyof typeof grpcStatus, title: string, retry = false): CodeMeaning => ({
  http,
  grpc,
  title,
  retry,
});

/** The one table from codes to statuses. `docs/errors.md` is generated from it. */
export const meanings: Readonly<Record<ErrorCode, CodeMeaning>> = {
  topic_invalid: row(400, 'INVALID_ARGUMENT', 'The topic is not a legal topic'),
  filter_invalid: row(400, 'INVALID_ARGUMENT', 'The topic filter is not a legal filter'),
  id_invalid: row(400, 'INVALID_ARGUMENT', 'The id is not a legal publication id'),
  attribute_invalid: row(400, 'INVALID_ARGUMENT', 'An attribute, type, source or content type is not legal'),
  cursor_invalid: row(400, 'INVALID_ARGUMENT', 'The cursor was not issued by this fleet'),
  request_invalid: row(400, 'INVALID_ARGUMENT', 'The request cannot be read'),
  payload_too_large: row(413, 'RESOURCE_EXHAUSTED', 'The payload is larger than the limit'),
  too_many_filters: row(400, 'INVALID_ARGUMENT', 'More topic filters than one connection may hold'),
  unauthenticated: row(401, 'UNAUTHENTICATED', 'No valid token was presented'),
  token_expired: row(401, 'UNAUTHENTICATED', 'The token has expired'),
  token_revoked: row(401, 'UNAUTHENTICATED', 'The token was revoked'),
  forbidden: row(403, 'PERMISSION_DENIED', 'The token does not grant this'),
  target_refused: row(422, 'INVALID_ARGUMENT', 'The fleet does not call this address'),
  handshake_failed: row(
    422,
    'FAILED_PRECONDITION',
    'The receiver did not confirm that it wants to be called',
  ),
  not_found: row(404, 'NOT_FOUND', 'There is nothing at this address'),
  method_not_allowed: row(405, 'UNIMPLEMENTED', 'The method is not allowed here'),
  unsupported_media_type: row(415, 'INVALID_ARGUMENT', 'The content type is not accepted here'),
  conflict: row(409, 'ALREADY_EXISTS', 'It already exists, or was changed by somebody else'),
  precondition_failed: row(412, 'FAILED_PRECONDITION', 'It is not in the state that the request requires'),
  rate_limited: row(429, 'RESOURCE_EXHAUSTED', 'Too many requests', true),
  too_many_connections: row(503, 'RESOURCE_EXHAUSTED', 'No room for another connection', true),
  storage_full: row(507, 'RESOURCE_EXHAUSTED', 'The log is full', true),
  quota_connections: row(429, 'RESOURCE_EXHAUSTED', 'The namespace holds its most connections', true),
  quota_subscriptions: row(429, 'RESOURCE_EXHAUSTED', 'The namespace holds its most subscriptions', true),
  quota_publish_rate: row(429, 'RESOURCE_EXHAUSTED', 'The namespace publishes at its highest rate', true),
  quota_stored_bytes: row(507, 'RESOURCE_EXHAUSTED', 'The namespace stores its most bytes', true),
  history_off: row(409, 'FAILED_PRECONDITION', 'The topic keeps no history'),
  unavailable: row(503, 'UNAVAILABLE', 'A part of the fleet is out of reach', true),
  timeout: row(504, 'DEADLINE_EXCEEDED', 'The fleet did not answer in time', true),
  draining: row(503, 'UNAVAILABLE', 'This instance is shutting down', true),
  internal: row(500, 'INTERNAL', 'Something failed inside the fleet'),
};

/** Why a connection ends: an error, or a reason that only a connection has. */
export type CloseCode = ErrorCode | 'slow_consumer' | 'connection_age';

/**
 * The codes after which a client comes back by itself; after every other the same would be refused again.
 *
 * `internal` is here because a browser that was refused once never comes back: a fault of ours must not silence
 * every page that is open.
 */
export const comeBackCodes = [
  'slow_consumer',
  'connection_age',
  'draining',
  'unavailable',
  'timeout',
  'rate_limited',
  'too_many_connections',
  'quota_connections',
  'quota_subscriptions',
  'internal',
] as const satisfies readonly CloseCode[];

export type ComeBackCode = (typeof comeBackCodes)[number];
