import {
  binaryHeaders,
  type Cursor,
  encodeCloudEvent,
  eventMediaType,
  fitsHeaders,
  needsStructuredMode,
  type Publication,
  percentEncode,
} from '@pushfleet/core';
import { WebhookFormat, type WebhookTarget } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { signatures } from './signature.ts';

/** What every attempt of one publication in one format has in common, whoever receives it. */
export interface Content {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const contents = new WeakMap<Publication, Map<WebhookFormat, Content>>();

/** The content of a publication in a format: made once, and kept as long as the publication is. */
export function contentOf(publication: Publication, cursor: Cursor, format: WebhookFormat): Content {
  let made = contents.get(publication);
  if (made === undefined) {
    made = new Map();
    contents.set(publication, made);
  }
  let content = made.get(format);
  if (content === undefined) {
    content = encode(publication, cursor, format);
    made.set(format, content);
  }
  return content;
}

function encode(publication: Publication, cursor: Cursor, format: WebhookFormat): Content {
  const { headers, body } = bodyOf(publication, cursor, format);
  const own = { 'pushfleet-topic': percentEncode(publication.topic), 'pushfleet-cursor': cursor };
  return { headers: { ...headers, ...own }, body };
}

function bodyOf(publication: Publication, cursor: Cursor, format: WebhookFormat): Content {
  if (format === WebhookFormat.WEBHOOK_FORMAT_VERBATIM) return verbatim(publication);
  if (format === WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_STRUCTURED || needsStructuredMode(publication)) {
    return structured(publication, cursor);
  }
  const headers = binaryHeaders(publication, cursor);
  // Receivers give up at 8 or 16 KiB of headers: better another mode than no delivery.
  return fitsHeaders(headers) ? { headers, body: publication.payload } : structured(publication, cursor);
}

const structured = (publication: Publication, cursor: Cursor): Content => ({
  headers: { 'content-type': `${eventMediaType}; charset=utf-8` },
  body: Buffer.from(encodeCloudEvent(publication, cursor)),
});

// UTF-8 in a content type passes as its bytes, as in binary mode.
const verbatim = ({ contentType, payload }: Publication): Content => ({
  headers: { 'content-type': Buffer.from(contentType).toString('latin1') },
  body: payload,
});

/** What differs from attempt to attempt. */
export interface Particulars {
  /** Of the delivery: `webhook-id`. */
  readonly id: string;
  /** 1 at the first. */
  readonly attempt: number;
  /** Of the subscription. */
  readonly subscription: string;
  /** Unix time in seconds. */
  readonly timestamp: number;
  /** `traceparent`, where the publication is traced. */
  readonly trace: string | undefined;
  /** `WebHook-Request-Origin`, where the receiver was asked by it. */
  readonly origin: string | undefined;
  /** What makes the request a notification, where the receiver is notified. */
  readonly notice?: Readonly<Record<string, string>>;
}

/**
 * The headers of one attempt, or undefined where no secret is in force: nothing leaves unsigned, but notifications to
 * who was never given a secret. The subscription's own headers come first, so that they replace none of the fleet's.
 */
export function headersOf(
  webhook: Pick<WebhookTarget, 'headers' | 'secrets' | 'notify'>,
  content: Content,
  o: Particulars,
): Record<string, string> | undefined {
  const { id, timestamp } = o;
  const signature = signatures(webhook.secrets, { id, timestamp, body: content.body });
  const secretless = webhook.notify !== undefined && webhook.secrets.length === 0;
  if (signature === '' && !secretless) return undefined;
  const headers: Record<string, string> = { 'user-agent': userAgent };
  for (const { name, value } of webhook.headers) headers[name.toLowerCase()] = value;
  Object.assign(headers, content.headers);
  headers['webhook-id'] = id;
  headers['webhook-timestamp'] = String(timestamp);
  if (!secretless) headers['webhook-signature'] = signature;
  headers['pushfleet-subscription'] = o.subscription;
  headers['pushfleet-attempt'] = String(o.attempt);
  if (o.trace !== undefined) headers.traceparent = o.trace;
  if (o.origin !== undefined) headers['webhook-request-origin'] = o.origin;
  return Object.assign(headers, o.notice);
}

const userAgent = 'Pushfleet-Webhook/1.0';
