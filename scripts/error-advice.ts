import type { ErrorCode } from '../packages/core/src/mod.ts';

/** What whoever gets an error does about it; the error's own text knows more of the case. */
export const advice: Readonly<Record<ErrorCode, string>> = {
  topic_invalid: 'Name levels apart by `/`, without `+`, `#` and NUL, in at most 1,024 bytes of UTF-8',
  filter_invalid: '`+` stands for a whole level, `#` is the last level; both stand alone between `/`',
  id_invalid: 'Give an id of 1 to 256 bytes without control characters, or none',
  attribute_invalid: 'The detail names the attribute and its limit',
  cursor_invalid: 'Use a cursor exactly as it was received; without one you begin now',
  request_invalid: 'The detail names the field or parameter',
  payload_too_large:
    'Publish where the thing is to be found, or have the operator raise the limit that `limit` names',
  too_many_filters: 'Use a wider filter, or several connections',
  unauthenticated: 'Send a token: `Authorization: Bearer …`, or a ticket where no header can be set',
  token_expired: 'Get a new token from your issuer and connect again',
  token_revoked: 'The token stays refused; ask whoever manages the namespace',
  forbidden: 'Ask for a token whose grant covers all of what the detail names',
  target_refused: 'Give a public https address; the operator can allow others by PUSHFLEET_OUTBOUND_ALLOW',
  handshake_failed:
    'Have the receiver answer the handshake as docs/security.md says, then create the subscription again',
  not_found: 'Check the address; what was deleted or has expired is not found either',
  method_not_allowed: 'The header `Allow` lists the methods',
  unsupported_media_type: 'The detail lists what is accepted',
  conflict: 'Read it again, and change what is there now',
  precondition_failed:
    'Read it again; its `ETag` is the `If-Match` of a change to what you read. After SUBSCRIBE: mend what the detail names, or subscribe anew',
  rate_limited: 'Wait as told, then send fewer at a time',
  too_many_connections: 'Wait as told, or let clients share a connection',
  storage_full: 'Operator: give the log more room, or keep less',
  quota_connections:
    'Close connections of the namespace, or have its quota raised; the detail says how many it has',
  quota_subscriptions: 'Use wider filters, or have the quota raised',
  quota_publish_rate: 'Wait as told; all publishers of the namespace share the rate',
  quota_stored_bytes:
    'Room comes as publications expire; publish with a shorter time to live, or have the quota raised',
  history_off: 'Follow the topic live; its policy keeps no past',
  unavailable: 'Try again as told; nothing has to be changed',
  timeout: 'Try again with the same id: whether the first attempt took effect is not known',
  draining: 'Try again at once; another instance answers',
  internal: 'Operator: the log of the service has the cause',
};
