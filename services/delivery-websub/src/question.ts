import {
  WebSubMode,
  type WebSubRequest,
  type WebSubTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** WebSub, section 5.1.1: what the callback's query has stays as it is, and parameters follow behind it. */
function withParameters(callback: string, parameters: Readonly<Record<string, string>>): string {
  const joint = callback.includes('?') ? (/[?&]$/.test(callback) ? '' : '&') : '?';
  return `${callback}${joint}${new URLSearchParams(parameters)}`;
}

/** Where a subscriber is asked whether a request is its own (WebSub, section 5.3; PubSubHubbub 0.3, section 6.2). */
export function verificationUrl(
  { callback, topicUrl }: Pick<WebSubTarget, 'callback' | 'topicUrl'>,
  { mode, leaseSeconds, verifyToken }: WebSubRequest,
  challenge: string,
): string {
  const subscribe = mode === WebSubMode.WEB_SUB_MODE_SUBSCRIBE;
  return withParameters(callback, {
    'hub.mode': subscribe ? 'subscribe' : 'unsubscribe',
    'hub.topic': topicUrl,
    'hub.challenge': challenge,
    ...(subscribe && { 'hub.lease_seconds': String(leaseSeconds) }),
    ...(verifyToken.length > 0 && { 'hub.verify_token': Buffer.from(verifyToken).toString() }),
  });
}

/** Where a subscriber is told that its subscription is no more, or will not be (WebSub, section 5.2). */
export function denialUrl(
  { callback, topicUrl }: Pick<WebSubTarget, 'callback' | 'topicUrl'>,
  reason: string,
): string {
  return withParameters(callback, {
    'hub.mode': 'denied',
    'hub.topic': topicUrl,
    ...(reason !== '' && { 'hub.reason': reason }),
  });
}
