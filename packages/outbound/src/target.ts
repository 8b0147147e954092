import { isIP } from 'node:net';
import { type AddressClass, classWords, type Ip, layersOf, parseIp } from './address.ts';
import type { AllowList } from './allow.ts';

/** Which of the fleet's rules forbids a call. */
export type Rule = 'url' | 'scheme' | 'userinfo' | 'port' | 'name' | 'header' | 'peer' | AddressClass;

/** The fleet's own rules forbid the call. The message is for the owner of the address: no inner address stands in it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly rule: Rule;
  /** What the log says besides. */
  readonly address: string | undefined;

  constructor(rule: Rule, message: string, address?: string) {
    super(message);
    this.rule = rule;
    this.address = address;
  }
}

/** An address that may be called as far as its text tells. */
export interface Target {
  /** Scheme, host and port: what connections are shared by. */
  readonly origin: string;
  readonly secure: boolean;
  /** A name in lower case, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** The operator allows this very host and port. */
  readonly allowed: boolean;
}

export interface TargetRules {
  readonly allow: AllowList;
  readonly ports: readonly number[];
}

const asked = 'Give a public https address, or ask the operator to allow this one.';

// Spaces and control characters are dropped by the URL parser and a backslash is read as a slash: what a person and
// another program see in such a text is not what would be called.
const plainUrl = /^https?:\/\/[^/?#\\\s][^\\\s\x00-\x20\x7f]*$/i;

/**
 * Reads a URL, and judges what is judged from it alone. The parser (WHATWG URL) writes every notation of a host in its
 * usual form first: 0x7f.1, 2130706433, 127.1, full-width digits and percent-encoding are all 127.0.0.1 here.
 *
 * @throws Refusal
 */
export function parseTarget(text: string, rules: TargetRules): Target {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '') {
    throw new Refusal('url', 'This is not a URL that can be called. Give https://, a host and a path.');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Refusal('scheme', `The address begins with "${url.protocol}"; only https is called.`);
  }
  if (/^[^/]*\/\/[^/?#\\]*@/.test(text)) {
    throw new Refusal(
      'userinfo',
      'The address has a user or a password before "@". Give it without them; a header can carry credentials.',
    );
  }
  if (!plainUrl.test(text)) {
    throw new Refusal(
      'url',
      'The address has a space, a backslash or a control character, or not exactly two slashes after its scheme. Percent-encode them.',
    );
  }
  return judge(url, rules);
}

function judge(url: URL, { allow, ports }: TargetRules): Target {
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const allowed = allow.host(host, port);
  if (!allowed) {
    if (!secure)
      throw new Refusal('scheme', `The address begins with "http:"; only https is called. ${asked}`);
    if (!ports.includes(port)) {
      throw new Refusal('port', `Port ${port} is not called, only ${ports.join(' and ')}. ${asked}`);
    }
    if (isIP(host) === 0) judgeName(host);
  }
  if (isIP(host) !== 0) {
    const layer = refusedLayer(parseIp(host), port, allow, false);
    if (layer !== undefined) throw new Refusal(layer, `${host} is ${classWords[layer]}. ${asked}`);
  }
  return { origin: url.origin, secure, host, port, path: url.pathname + url.search, allowed };
}

// Names that belong to no public zone: RFC 6761, RFC 6762 (local), RFC 8375 (home.arpa), and internal, which ICANN set
// aside for private use (metadata.google.internal, and AWS's own names of machines).
const innerNames = /(?:^|\.)(?:localhost|localdomain|local|internal|home\.arpa)$/;

function judgeName(host: string): void {
  if (host.endsWith('.'))
    throw new Refusal('name', `The name "${clip(host)}" ends in a dot. Give it without.`);
  if (innerNames.test(host) || !host.includes('.')) {
    throw new Refusal('name', `"${clip(host)}" is a name of inner networks. ${asked}`);
  }
  if (host.length > 253) throw new Refusal('name', 'The name of the host is longer than 253 characters.');
}

const clip = (host: string): string => (host.length > 80 ? `${host.slice(0, 80)}…` : host);

/** The class for which an address is refused. Everything that it carries must be public or allowed as well. */
function refusedLayer(ip: Ip, port: number, allow: AllowList, named: boolean): AddressClass | undefined {
  return layersOf(ip).find(
    (layer) => layer.class !== undefined && !allow.address(layer.ip, layer.class, port, named),
  )?.class;
}

/**
 * Judges what a name has led to. One refused address among public ones refuses them all: which of them is connected to
 * is then nobody's choice.
 *
 * @throws Refusal
 */
export function judgeAddresses(target: Target, addresses: readonly string[], allow: AllowList): void {
  const named = target.allowed && isIP(target.host) === 0;
  for (const address of addresses) {
    const layer = refusedLayer(parseIp(address), target.port, allow, named);
    if (layer === undefined) continue;
    const verb = isIP(target.host) === 0 ? 'resolves to' : 'is';
    throw new Refusal(layer, `${clip(target.host)} ${verb} ${classWords[layer]}. ${asked}`, address);
  }
}
