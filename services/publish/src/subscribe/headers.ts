import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';

/** Whose words a request speaks: those of GENA (UPnP), or those of Exchange and WebDAV. */
export type Form = 'gena' | 'webdav';

/** A subscription that there is, by its SID or Subscription-ID. */
export interface Named {
  readonly form: Form;
  readonly id: string;
}

/** A subscription that is wished for. */
export interface Wish {
  readonly form: Form;
  /** At least one; to be tried in this order. */
  readonly callbacks: readonly string[];
}

/** What SUBSCRIBE asks for, and for how long in milliseconds: Infinity for ever, undefined where it does not say. */
export type Asked = (({ readonly kind: 'new' } & Wish) | ({ readonly kind: 'renewal' } & Named)) & {
  readonly leaseMs: number | undefined;
};

const mostCallbacks = 8;
/** Longest URL of a call-back, in bytes. */
const urlBytes = 2_048;

/**
 * What the headers of SUBSCRIBE ask for: UPnP Device Architecture 1.1, sections 4.1.2 and 4.1.3, or the SUBSCRIBE
 * method of Exchange and WebDAV.
 *
 * @throws PushfleetError `precondition_failed` for a call-back, NT or SID that is missing or none, `request_invalid` for
 * headers that do not go together
 */
export function readSubscribe(headers: IncomingHttpHeaders): Asked {
  return formOf(headers) === 'gena' ? readGena(headers) : readWebDav(headers);
}

/** The subscription that UNSUBSCRIBE ends. @throws as `readSubscribe` */
export function readUnsubscribe(headers: IncomingHttpHeaders): Named {
  const form = formOf(headers);
  const { name, others } = naming[form];
  refuseBeside(headers, name, others);
  return { form, id: idOf(form, textOf(headers, name) ?? '') };
}

const naming = {
  gena: { name: 'sid', others: ['nt', 'callback'] },
  webdav: { name: 'subscription-id', others: ['notification-type', 'call-back', 'depth'] },
} as const;

const own: Readonly<Record<Form, readonly string[]>> = {
  gena: ['sid', 'nt', 'callback', 'timeout'],
  webdav: ['subscription-id', 'notification-type', 'call-back', 'subscription-lifetime'],
};

function formOf(headers: IncomingHttpHeaders): Form {
  const given = (form: Form): string | undefined => own[form].find((name) => name in headers);
  const [gena, webdav] = [given('gena'), given('webdav')];
  if (gena !== undefined && webdav !== undefined) {
    throw incompatible(`"${gena}" is of GENA and "${webdav}" of WebDAV: speak one of them.`);
  }
  return webdav === undefined ? 'gena' : 'webdav';
}

function readGena(headers: IncomingHttpHeaders): Asked {
  const leaseMs = timeoutOf(textOf(headers, 'timeout'));
  const sid = textOf(headers, 'sid');
  if (sid !== undefined) {
    refuseBeside(headers, naming.gena.name, naming.gena.others);
    return { kind: 'renewal', form: 'gena', id: idOf('gena', sid), leaseMs };
  }
  const nt = textOf(headers, 'nt');
  if (nt !== 'upnp:event') {
    throw failed(`NT is upnp:event, ${nt === undefined ? 'and is missing' : `not ${quote(nt)}`}.`);
  }
  const callbacks = callbacksOf(textOf(headers, 'callback') ?? '');
  return { kind: 'new', form: 'gena', callbacks, leaseMs };
}

function readWebDav(headers: IncomingHttpHeaders): Asked {
  const leaseMs = lifetimeOf(textOf(headers, 'subscription-lifetime'));
  const id = textOf(headers, 'subscription-id');
  if (id !== undefined) {
    refuseBeside(headers, naming.webdav.name, naming.webdav.others);
    return { kind: 'renewal', form: 'webdav', id: idOf('webdav', id), leaseMs };
  }
  const type = textOf(headers, 'notification-type')?.toLowerCase();
  if (type !== 'update' && type !== 'update/newmember') {
    throw incompatible(
      'Notification-Type is update or update/newmember, which are the same here: what a topic has is publications.',
    );
  }
  if ((textOf(headers, 'depth') ?? '0') !== '0') {
    throw incompatible(
      'Depth is 0: this subscribes to one topic. Those below it are subscribed to by POST /v1/subscriptions with a filter.',
    );
  }
  const callback = textOf(headers, 'call-back');
  if (callback === undefined) {
    throw failed(
      'Call-Back is missing, and POLL is not offered: without a call-back, ask /poll or the history with a cursor.',
    );
  }
  return { kind: 'new', form: 'webdav', callbacks: [checked('Call-Back', callback)], leaseMs };
}

/** By hand: what strangers send is read in one pass. */
function callbacksOf(text: string): readonly string[] {
  const next = /<([^<>\s]*)>[\t ]*/y;
  const callbacks: string[] = [];
  let read = 0;
  while (read < text.length && callbacks.length < mostCallbacks) {
    const url = next.exec(text)?.[1];
    if (url === undefined) break;
    callbacks.push(checked('CALLBACK', url));
    read = next.lastIndex;
  }
  // Nobody has to refuse a question more often for being named more often.
  if (callbacks.length > 0 && read === text.length) return [...new Set(callbacks)];
  throw failed(
    `CALLBACK is missing, or is not one to ${mostCallbacks} URLs, each between "<" and ">", such as <https://shop.example.com/events>.`,
  );
}

function checked(name: string, url: string): string {
  if (/^httpu:/i.test(url)) {
    throw failed(
      `${name} is an address of httpu, which is HTTP over UDP: nobody could be asked for consent, and a datagram that is lost is not sent again. Give one of https.`,
    );
  }
  // ASCII alone: node:http reads the bytes of a header as Latin-1, and UTF-8 would become another host or path.
  if (/^https?:\/\/[\x21\x22\x24-\x7e]+$/i.test(url) && URL.canParse(url) && url.length <= urlBytes)
    return url;
  throw failed(
    `${name} is a URL of https in ASCII without a fragment, of ${urlBytes} bytes at most; escape the rest with "%", and a name as xn--….`,
  );
}

/** Also where it cannot be one of ours: what does not name a subscription names none that there is. */
function idOf(form: Form, text: string): string {
  const pattern =
    form === 'gena' ? /^uuid:([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})$/i : /^([\da-f-]{36})$/i;
  const id = pattern.exec(text)?.[1];
  if (id !== undefined) return id.toLowerCase();
  throw unknownSubscription(form);
}

function timeoutOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, seconds] = /^Second-(\d{1,10}|infinite)$/i.exec(text) ?? [];
  if (seconds === undefined) {
    throw incompatible(
      `TIMEOUT is "Second-" and a number of seconds, such as Second-1800, not ${quote(text)}.`,
    );
  }
  return /\d/.test(seconds) ? Number(seconds) * 1_000 : Number.POSITIVE_INFINITY;
}

function lifetimeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1_000;
  throw incompatible(`Subscription-Lifetime is a number of seconds, such as 3600, not ${quote(text)}.`);
}

function refuseBeside(headers: IncomingHttpHeaders, name: string, others: readonly string[]): void {
  const beside = headers[name] !== undefined && others.find((other) => other in headers);
  if (beside) {
    throw incompatible(`"${name}" names a subscription that there is, and "${beside}" is for a new one.`);
  }
}

/** The header; of a repeated one all values, which are then none that is understood. */
const textOf = (headers: IncomingHttpHeaders, name: string): string | undefined =>
  headers[name] === undefined ? undefined : String(headers[name]).trim();

const incompatible = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
const failed = (message: string): PushfleetError => new PushfleetError('precondition_failed', message);

const names = { gena: 'SID', webdav: 'Subscription-ID' } as const;

/** No subscription of this topic and of whoever asks has that name, and nobody is told of another's. */
export const unknownSubscription = (form: Form): PushfleetError =>
  failed(
    `${names[form]} names no subscription to this topic: it has ended, is somebody else's, or never was. Subscribe anew.`,
  );

/** The headers of an answer to SUBSCRIBE. @param leaseMs what was granted */
export function answerHeaders(form: Form, id: string, leaseMs: number): Record<string, string> {
  const seconds = String(Math.floor(leaseMs / 1_000));
  return form === 'gena'
    ? { sid: `uuid:${id}`, timeout: `Second-${seconds}` }
    : { 'subscription-id': id, 'subscription-lifetime': seconds };
}
