import type { Attributes, ErrorCode, PushfleetError } from '@pushfleet/core';
import type { CloseCode } from '@pushfleet/edge';
import { type Reason, reasons } from './codec.ts';

// What the fleet's codes are in MQTT 5, packet by packet: each has a list of its own of the reasons that it may give.

/** The properties that tell a failure to a person, and by the fleet's code to a program: a reason stands for several. */
export interface Why {
  readonly reasonString: string;
  readonly userProperties?: Attributes;
}

export const toldOf = (code: ErrorCode | CloseCode, reasonString: string): Why => ({
  reasonString,
  userProperties: [['pushfleetcode', code]],
});

export const whyOf = ({ code, message }: Pick<PushfleetError, 'code' | 'message'>): Why =>
  toldOf(code, message);

const busy = reasons.serverBusy;
const quota = reasons.quotaExceeded;

const connacks: Partial<Record<ErrorCode, Reason>> = {
  unauthenticated: reasons.badUserNameOrPassword,
  token_expired: reasons.badUserNameOrPassword,
  token_revoked: reasons.banned,
  forbidden: reasons.notAuthorized,
  topic_invalid: reasons.topicNameInvalid,
  id_invalid: reasons.implementationSpecificError,
  attribute_invalid: reasons.implementationSpecificError,
  request_invalid: reasons.implementationSpecificError,
  payload_too_large: reasons.packetTooLarge,
  storage_full: quota,
  // Others of this client came at the same moment.
  conflict: busy,
  draining: reasons.serverUnavailable,
  unavailable: reasons.serverUnavailable,
  timeout: reasons.serverUnavailable,
  too_many_connections: busy,
  rate_limited: reasons.connectionRateExceeded,
  quota_connections: quota,
  quota_subscriptions: quota,
};

/** Table 3-1, for a connection that is not taken. */
export const connackReason = (code: ErrorCode): Reason => connacks[code] ?? reasons.unspecifiedError;

const disconnects: Partial<Record<CloseCode, Reason>> = {
  draining: reasons.serverShuttingDown,
  connection_age: reasons.maximumConnectTime,
  unauthenticated: reasons.notAuthorized,
  token_expired: reasons.notAuthorized,
  token_revoked: reasons.notAuthorized,
  forbidden: reasons.notAuthorized,
  conflict: reasons.sessionTakenOver,
  slow_consumer: quota,
  unavailable: busy,
  timeout: busy,
  rate_limited: reasons.messageRateTooHigh,
  too_many_connections: quota,
  quota_connections: quota,
  quota_subscriptions: quota,
  payload_too_large: reasons.packetTooLarge,
};

/** Table 3-10. */
export const disconnectReason = (code: CloseCode): Reason => disconnects[code] ?? reasons.unspecifiedError;

const publishes: Partial<Record<ErrorCode, Reason>> = {
  forbidden: reasons.notAuthorized,
  topic_invalid: reasons.topicNameInvalid,
  rate_limited: quota,
  payload_too_large: quota,
  storage_full: quota,
  quota_publish_rate: quota,
  quota_stored_bytes: quota,
  id_invalid: reasons.implementationSpecificError,
  attribute_invalid: reasons.implementationSpecificError,
};

/**
 * Tables 3-4 and 3-5. Undefined: the client had better send it again than hear that it failed, and may do so only on
 * another connection ([MQTT-4.4.0-1]).
 */
export function publishReason(code: ErrorCode): Reason | undefined {
  const again = code === 'unavailable' || code === 'timeout' || code === 'draining';
  return again ? undefined : (publishes[code] ?? reasons.unspecifiedError);
}

const subscribes: Partial<Record<ErrorCode, Reason>> = {
  cursor_invalid: reasons.implementationSpecificError,
  forbidden: reasons.notAuthorized,
  filter_invalid: reasons.topicFilterInvalid,
  too_many_filters: quota,
  quota_subscriptions: quota,
};

/** Table 3-8. */
export const subscribeReason = (code: ErrorCode): Reason => subscribes[code] ?? reasons.unspecifiedError;
