import { byteLength, quote } from '@pushfleet/core';
import {
  NotifyForm,
  SigningScheme,
  type SigningSecret,
  type Subscription,
  WebhookFormat,
  WebhookHandshake,
  type WebhookTarget,
  type WebPushTarget,
  WebSubMode,
  type WebSubRequest,
  type WebSubTarget,
  WebSubVersion,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkAtMost, checkCount, checkEnum, checkId, checkUnique, checkUrl, invalid } from './check.ts';
import { recordLimits as limits } from './limits.ts';
import { missingSecret } from './secret-fields.ts';

const http = ['https:', 'http:'];

/**
 * Checks who is called, and how. A secret may be empty here: one that is held stays.
 *
 * @throws PushfleetError `request_invalid`
 */
export function checkTarget(target: Subscription['target']): void {
  if (target?.$case === 'webhook') checkWebhook(target.webhook);
  else if (target?.$case === 'websub') checkWebSub(target.websub);
  else if (target?.$case === 'webpush') checkWebPush(target.webpush);
  else throw invalid('A subscription has a target: "webhook", "websub" or "webpush".');
}

/** @throws PushfleetError `request_invalid` where a secret that must be there is empty */
export function requireSecrets(record: Subscription): void {
  const field = missingSecret(record);
  if (field !== undefined) throw invalid(`${quote(field)} is empty, and nothing is held in its place.`);
}

function checkWebhook(target: WebhookTarget): void {
  checkUrl('webhook.url', target.url, http, limits.urlBytes);
  checkEnum('webhook.format', target.format, WebhookFormat);
  checkEnum('webhook.handshake', target.handshake, WebhookHandshake);
  checkAtMost('webhook.rate_per_second', target.ratePerSecond, limits.ratePerSecond);
  checkAtMost('webhook.concurrency', target.concurrency, limits.concurrency);
  checkAtMost('webhook.timeout_ms', target.timeoutMs, limits.timeoutMs);
  checkCount('webhook.secrets', target.secrets.length, 0, limits.secrets);
  checkUnique(
    'webhook.secrets.key_id',
    target.secrets.map(({ keyId }) => keyId),
  );
  for (const secret of target.secrets) checkSecret(secret);
  checkHeaders(target.headers);
  checkNotify(target);
}

function checkSecret({ keyId, scheme, secret, publicKey }: SigningSecret): void {
  checkId('webhook.secrets.key_id', keyId, limits.keyIdLength);
  checkEnum('webhook.secrets.scheme', scheme, SigningScheme);
  if (scheme === SigningScheme.SIGNING_SCHEME_ED25519) {
    checkBytes('webhook.secrets.secret', secret, 32, 32);
    if (publicKey.length !== 32) throw invalid('"webhook.secrets.public_key" has 32 bytes for Ed25519.');
    return;
  }
  checkBytes('webhook.secrets.secret', secret, ...limits.hmacBytes);
  if (publicKey.length !== 0) throw invalid('"webhook.secrets.public_key" is for Ed25519 alone.');
}

function checkBytes(name: string, value: Uint8Array, least: number, most: number): void {
  if (value.length === 0 || (value.length >= least && value.length <= most)) return;
  const wanted = least === most ? String(least) : `${least} to ${most}`;
  throw invalid(`"${name}" has ${wanted} bytes; this one has ${value.length}.`, most);
}

// RFC 9110: a token, and field content without control characters; the rest is the connection's own business, or
// what the delivery says itself.
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const headerValue = /^[\t\x20-\x7e]*$/;
const ownHeaders =
  /^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*|webhook-.*|ce-.*|pushfleet-.*|traceparent|tracestate|x-hook-secret)$/;

function checkHeaders(headers: WebhookTarget['headers']): void {
  checkCount('webhook.headers', headers.length, 0, limits.headers);
  const names = headers.map(({ name }) => name.toLowerCase());
  checkUnique('webhook.headers.name', names);
  for (const { name, value } of headers) {
    if (!headerName.test(name) || name.length > limits.headerNameBytes) {
      throw invalid(`${quote(name)} is not the name of a header.`);
    }
    if (ownHeaders.test(name.toLowerCase())) {
      throw invalid(`The header ${quote(name)} is set by the delivery itself.`);
    }
    if (!headerValue.test(value)) {
      throw invalid(`The value of the header ${quote(name)} holds more than visible ASCII, spaces and tabs.`);
    }
  }
  const bytes = headers.reduce((sum, { name, value }) => sum + byteLength(name) + byteLength(value), 0);
  checkAtMost('the bytes of webhook.headers', bytes, limits.headersBytes);
}

/** A handshake by a first NOTIFY is for those who are notified, and they have no other. */
function checkNotify({ notify, handshake, ordered }: WebhookTarget): void {
  if ((handshake === WebhookHandshake.WEBHOOK_HANDSHAKE_NOTIFY) !== (notify !== undefined)) {
    throw invalid('"webhook.handshake" is that of NOTIFY exactly where "webhook.notify" is given.');
  }
  if (notify === undefined) return;
  checkEnum('webhook.notify.form', notify.form, NotifyForm);
  checkCount('webhook.notify.callbacks', notify.callbacks.length, 0, limits.callbacks - 1);
  for (const url of notify.callbacks) checkUrl('webhook.notify.callbacks', url, http, limits.urlBytes);
  if (notify.form === NotifyForm.NOTIFY_FORM_GENA && !ordered) {
    throw invalid('"webhook.ordered" is true for GENA, which numbers its notifications.');
  }
}

const methods = ['sha1', 'sha256', 'sha384', 'sha512'];

function checkWebSub(target: WebSubTarget): void {
  checkUrl('websub.callback', target.callback, http, limits.urlBytes);
  checkUrl('websub.topic_url', target.topicUrl, http, limits.urlBytes);
  checkSigned('websub', target);
  checkCount('websub.requests', target.requests.length, 0, limits.websubRequests);
  checkUnique(
    'websub.requests.id',
    target.requests.map(({ id }) => id),
  );
  for (const request of target.requests) {
    checkId('websub.requests.id', request.id);
    checkEnum('websub.requests.mode', request.mode, WebSubMode);
    checkBytes('websub.requests.verify_token', request.verifyToken, 1, limits.websubTokenBytes);
    checkSigned('websub.requests', request);
  }
}

function checkSigned(
  name: string,
  target: Omit<WebSubRequest, 'id' | 'mode' | 'verifyToken' | 'askedAt'>,
): void {
  checkEnum(`${name}.version`, target.version, WebSubVersion);
  checkBytes(`${name}.secret`, target.secret, 1, limits.websubSecretBytes);
  if (target.signatureMethod === '') {
    if (target.secret.length > 0) throw invalid(`"${name}.signature_method" says how the secret signs.`);
  } else if (!methods.includes(target.signatureMethod)) {
    throw invalid(`"${name}.signature_method" is one of ${methods.join(', ')}, or empty without a secret.`);
  }
}

const urgencies = ['', 'very-low', 'low', 'normal', 'high'];

function checkWebPush(target: WebPushTarget): void {
  if (target.endpoint !== '') checkUrl('webpush.endpoint', target.endpoint, http, limits.urlBytes);
  if (target.p256dh.length !== 65 || target.p256dh[0] !== 4) {
    throw invalid('"webpush.p256dh" is an uncompressed P-256 point of 65 bytes.');
  }
  checkBytes('webpush.auth', target.auth, 16, 16);
  checkId('webpush.vapid_key_id', target.vapidKeyId, limits.keyIdLength);
  checkAtMost('webpush.ttl_seconds', target.ttlSeconds, limits.ttlSeconds);
  if (!urgencies.includes(target.urgency)) {
    throw invalid('"webpush.urgency" is very-low, low, normal, high, or empty.');
  }
}
