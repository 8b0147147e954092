import type { CloseCode } from '@pushfleet/edge';

/**
 * The WebSocket close codes that this edge sends: RFC 6455 section 7.4.1, those that IANA's registry added to it
 * (1012 Service Restart, 1013 Try Again Later), and two of the range for private use, so that a client without the
 * `closing` message can tell a token that ended from a right that it never had. 1005, 1006 and 1015 are never sent:
 * they stand for frames that were not.
 */
export type WsCode = 1000 | 1002 | 1003 | 1007 | 1008 | 1009 | 1011 | 1012 | 1013 | 4401 | 4403;

const codes: Partial<Record<CloseCode, WsCode>> = {
  draining: 1012,
  connection_age: 1012,
  slow_consumer: 1013,
  unavailable: 1013,
  timeout: 1013,
  rate_limited: 1013,
  too_many_connections: 1013,
  quota_connections: 1013,
  quota_subscriptions: 1013,
  internal: 1011,
  unauthenticated: 4401,
  token_expired: 4401,
  token_revoked: 4401,
  forbidden: 4403,
  payload_too_large: 1009,
};

/** The close code under which a connection ends for this reason; 1008, a policy, for all that has none of its own. */
export const wsCode = (code: CloseCode): WsCode => codes[code] ?? 1008;
