import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type AddressClass, type Ip, type Range, within } from './address.ts';

/** One entry of PUSHFLEET_OUTBOUND_ALLOW. */
type Entry = { readonly port: number | undefined } & (
  | { readonly range: Range }
  /** In lower case; one that begins with a dot stands for every name below it. */
  | { readonly name: string }
);

// What an allowed name may lead to. The rest is where no service lives that an operator gave a name to: were it
// allowed too, whoever can write one record of an allowed zone could read the machine's credentials.
const nameable: readonly (AddressClass | undefined)[] = ['loopback', 'private', 'shared'];

/** What the operator allows to be called although it is private, in clear or on another port. */
export class AllowList {
  readonly #entries: readonly Entry[];

  /** @throws Error that names the wrong entry */
  constructor(text = '') {
    this.#entries = text
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '')
      .map(parseEntry);
  }

  /** Whether the host is allowed as it stands in the URL: a name, or an address in its usual notation. */
  host(host: string, port: number): boolean {
    if (isIP(host) !== 0) {
      const ip = ipaddr.parse(host);
      return this.#some(port, (entry) => 'range' in entry && within(ip, entry.range));
    }
    return this.#some(port, (entry) => 'name' in entry && covers(entry.name, host));
  }

  /**
   * Whether an address that is not public may be called. `named` says that the name which led to it is allowed. The
   * metadata service of a cloud is allowed only by its own address: no range and no name covers it.
   */
  address(ip: Ip, kind: AddressClass, port: number, named: boolean): boolean {
    if (named && nameable.includes(kind)) return true;
    const whole = ip.kind() === 'ipv4' ? 32 : 128;
    return this.#some(
      port,
      (entry) =>
        'range' in entry && within(ip, entry.range) && (kind !== 'metadata' || entry.range[1] === whole),
    );
  }

  #some(port: number, matches: (entry: Entry) => boolean): boolean {
    return this.#entries.some((entry) => (entry.port === undefined || entry.port === port) && matches(entry));
  }
}

const covers = (name: string, host: string): boolean =>
  name.startsWith('.') ? host.endsWith(name) && host.length > name.length : host === name;

function parseEntry(text: string): Entry {
  const range = rangeOf(text);
  if (range !== undefined) return { range, port: undefined };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? undefined : Number(digits);
  if (host !== undefined && (port === undefined || (port > 0 && port <= 65_535))) {
    const inner = rangeOf(host);
    if (inner !== undefined) return { range: inner, port };
    if (bracketed === undefined && isName(host)) return { name: host.toLowerCase().replace(/^\*/, ''), port };
  }
  throw new Error(
    `"${text}" is neither an address, a range such as 10.0.0.0/8, a name nor *.suffix, each with or without :port`,
  );
}

function rangeOf(text: string): Range | undefined {
  const [address, prefix, ...rest] = text.split('/');
  if (address === undefined || isIP(address) === 0 || address.includes('%') || rest.length > 0)
    return undefined;
  const ip = ipaddr.parse(address);
  const whole = ip.kind() === 'ipv4' ? 32 : 128;
  if (prefix === undefined) return [ip, whole];
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= whole ? [ip, Number(prefix)] : undefined;
}

// A last label of digits would be an address in another notation (WHATWG URL, "ends in a number").
const isName = (text: string): boolean =>
  /^(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*(?!(?:\d+|0x[0-9a-f]*)$)[a-z0-9_-]{1,63}$/i.test(text) &&
  text.length <= 253;
