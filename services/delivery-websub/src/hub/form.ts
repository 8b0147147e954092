import { PushfleetError, quote } from '@pushfleet/core';

/** What a form asks of the hub. */
export type HubForm = HubRequest | Notice;

/** A publisher says that there is something new at these URLs. */
export interface Notice {
  readonly mode: 'publish';
  /** As they were given; at least one. */
  readonly urls: readonly string[];
}

/** A subscriber's request, as far as its text tells. */
export interface HubRequest {
  readonly mode: 'subscribe' | 'unsubscribe';
  /** As it was given. */
  readonly callback: string;
  /** As it was given. */
  readonly topicUrl: string;
  /** What was asked for, in seconds; undefined: nothing. */
  readonly leaseSeconds: number | undefined;
  /** Empty: nothing is signed. */
  readonly secret: Buffer;
  /** Which algorithm was asked for. */
  readonly method: string | undefined;
  /** How it is verified, where the subscriber speaks PubSubHubbub 0.3. */
  readonly verify: 'sync' | 'async' | undefined;
  /** `hub.verify_token`; empty: none. */
  readonly verifyToken: Buffer;
}

/** Algorithms that WebSub, section 7.1, knows. */
const methods = ['sha1', 'sha256', 'sha384', 'sha512'];
/** WebSub, section 5.1: less than 200 bytes. */
const secretBytes = 199;
const tokenBytes = 256;
/** URLs that one notice may name. */
const noticeUrls = 100;
/** Whoever asks for more gets the longest lease, too. */
const leaseDigits = 15;

/**
 * What a form asks for. Parameters that the hub does not know are passed over (WebSub, section 5.1).
 *
 * @throws PushfleetError `request_invalid`
 */
export function readForm(body: Buffer): HubForm {
  const form = new URLSearchParams(decode(body));
  const mode = required(form, 'hub.mode');
  if (mode === 'publish') return { mode, urls: readUrls(form) };
  if (mode !== 'subscribe' && mode !== 'unsubscribe') {
    throw invalid(`hub.mode is "subscribe", "unsubscribe" or "publish", not ${quote(mode)}.`);
  }
  const method = single(form, 'hub.signature_method');
  if (method !== undefined && !methods.includes(method)) {
    throw invalid(`hub.signature_method is one of ${methods.join(', ')}, not ${quote(method)}.`);
  }
  return {
    mode,
    callback: required(form, 'hub.callback'),
    topicUrl: required(form, 'hub.topic'),
    leaseSeconds: mode === 'subscribe' ? readLease(single(form, 'hub.lease_seconds')) : undefined,
    // Nothing is signed for who leaves.
    secret: mode === 'subscribe' ? readBytes(form, 'hub.secret', secretBytes) : Buffer.alloc(0),
    method,
    verify: readVerify(form.getAll('hub.verify')),
    verifyToken: readBytes(form, 'hub.verify_token', tokenBytes),
  };
}

function decode(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw invalid('The form is not UTF-8.');
  }
}

/** PubSubHubbub 0.4, section 7.1: `hub.url`, which may be repeated; WebSub leaves it open, and many say `hub.topic`. */
function readUrls(form: URLSearchParams): readonly string[] {
  const urls = new Set([...form.getAll('hub.url'), ...form.getAll('hub.topic')].filter(Boolean));
  if (urls.size === 0) throw invalid('hub.url is missing.');
  if (urls.size <= noticeUrls) return [...urls];
  throw invalid(`A request with hub.mode=publish names ${noticeUrls} URLs at most, not ${urls.size}.`);
}

/** An empty one counts as absent. */
function single(form: URLSearchParams, name: string): string | undefined {
  const values = form.getAll(name);
  if (values.length > 1) throw invalid(`${name} is given ${values.length} times; give it once.`);
  return values[0] || undefined;
}

function required(form: URLSearchParams, name: string): string {
  const value = single(form, name);
  if (value === undefined) throw invalid(`${name} is missing.`);
  return value;
}

function readLease(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text) && text.length <= leaseDigits) return Number(text);
  throw invalid(`hub.lease_seconds is a positive whole number, not ${quote(text)}.`);
}

function readBytes(form: URLSearchParams, name: string, most: number): Buffer {
  const text = single(form, name) ?? '';
  // What its escapes were is lost: the subscriber would sign with other bytes.
  if (text.includes('\ufffd')) throw invalid(`${name} is not UTF-8.`);
  const value = Buffer.from(text);
  if (value.length <= most) return value;
  throw invalid(`${name} has ${value.length} bytes; it has ${most} at most.`);
}

/** PubSubHubbub 0.3, section 6.1: in the order of preference; words that are not known are passed over. */
function readVerify(words: readonly string[]): HubRequest['verify'] {
  if (words.length === 0) return undefined;
  return words.find((word) => word === 'sync' || word === 'async') ?? 'async';
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
