import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What an address is that is not simply a public one. */
export type AddressClass =
  | 'unspecified'
  | 'loopback'
  | 'private'
  | 'shared'
  | 'link-local'
  | 'metadata'
  | 'multicast'
  | 'broadcast'
  | 'documentation'
  | 'benchmarking'
  | 'translated'
  | 'reserved';

export type Ip = ipaddr.IPv4 | ipaddr.IPv6;
/** A range: its first address and the length of its prefix. */
export type Range = readonly [Ip, number];

/** One thing that an address stands for, and what that is; no class: public. */
export interface Layer {
  readonly ip: Ip;
  readonly class: AddressClass | undefined;
}

// Where clouds tell a machine its credentials. Two of them are not in any range below.
const metadata = [
  '169.254.169.254', // AWS, Azure, Google, Oracle, DigitalOcean and others
  '169.254.170.2', // AWS: credentials of ECS tasks
  '169.254.170.23', // AWS: credentials of EKS pods
  'fd00:ec2::254', // AWS by IPv6
  'fd00:ec2::23', // AWS: credentials of EKS pods by IPv6
  'fd20:ce::254', // Google by IPv6
  '169.254.42.42', // Scaleway
  'fd00:42::42', // Scaleway by IPv6
  '168.63.129.16', // Azure's wire server: an address that looks public
  '100.100.100.200', // Alibaba
  '192.0.0.192', // Oracle
];

// https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast (RFC 5771). Also what the registry calls
// globally reachable (AS112, AMT, PCP anycast): infrastructure at which no receiver lives.
const ipv4: readonly (readonly [AddressClass, readonly string[]])[] = [
  ['broadcast', ['255.255.255.255/32']],
  ['unspecified', ['0.0.0.0/8']],
  ['loopback', ['127.0.0.0/8']],
  ['private', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']],
  ['shared', ['100.64.0.0/10']],
  ['link-local', ['169.254.0.0/16']],
  ['documentation', ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24']],
  ['benchmarking', ['198.18.0.0/15']],
  ['multicast', ['224.0.0.0/4']],
  ['reserved', ['192.0.0.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24']],
  ['reserved', ['192.175.48.0/24', '240.0.0.0/4']],
];

// https://www.iana.org/assignments/iana-ipv6-special-registry. What lies outside 2000::/3, the only space that is
// allocated as global unicast (https://www.iana.org/assignments/ipv6-address-space), is reserved by the last line.
const ipv6: readonly (readonly [AddressClass, readonly string[]])[] = [
  ['unspecified', ['::/128']],
  ['loopback', ['::1/128']],
  // IPv4-mapped, IPv4-compatible, IPv4-translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
  ['translated', ['::ffff:0:0/96', '::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48']],
  ['translated', ['2002::/16', '2001::/32']],
  ['private', ['fc00::/7', 'fec0::/10']],
  ['link-local', ['fe80::/10']],
  ['multicast', ['ff00::/8']],
  ['documentation', ['2001:db8::/32', '3fff::/20']],
  ['benchmarking', ['2001:2::/48']],
  ['reserved', ['2001::/23', '2620:4f:8000::/48']],
];
const globalUnicast: Range = ipaddr.parseCIDR('2000::/3');

const table = (rows: typeof ipv4): readonly (readonly [AddressClass, Range])[] =>
  rows.flatMap(([name, ranges]) => ranges.map((range) => [name, ipaddr.parseCIDR(range)] as const));
const tables = { ipv4: table(ipv4), ipv6: table(ipv6) };
const metadataTexts = new Set(metadata.map((text) => ipaddr.parse(text).toString()));

/** Whether the address lies in the range; never, where they are of different families. */
export function within(ip: Ip, [first, prefix]: Range): boolean {
  return ip.kind() === first.kind() && ip.match(first, prefix);
}

/** An address as sockets and resolvers write it: no other notation is read. @throws Error otherwise */
export function parseIp(text: string): Ip {
  if (isIP(text) === 0) throw new Error('not an IP address');
  return ipaddr.parse(text);
}

/** What an address is by itself. */
export function classOf(ip: Ip): AddressClass | undefined {
  if (metadataTexts.has(ip.toString())) return 'metadata';
  const row = tables[ip.kind()].find(([, range]) => within(ip, range));
  if (row !== undefined) return row[0];
  return ip.kind() === 'ipv6' && !within(ip, globalUnicast) ? 'reserved' : undefined;
}

/**
 * The address and every IPv4 address that it carries: a translator, a tunnel or the system's own stack may lead there.
 * The innermost comes first, as it says most about where the way ends.
 */
export function layersOf(ip: Ip): readonly Layer[] {
  const inner = ip.kind() === 'ipv6' ? embedded((ip as ipaddr.IPv6).parts) : [];
  return [...inner, ip].map((layer) => ({ ip: layer, class: classOf(layer) }));
}

function embedded(parts: readonly number[]): readonly Ip[] {
  const at = (index: number, mask = 0): Ip => {
    const [high, low] = [(parts[index] as number) ^ mask, (parts[index + 1] as number) ^ mask];
    return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff]);
  };
  const begins = (...prefix: number[]): boolean => prefix.every((part, index) => parts[index] === part);
  if (begins(0x2002)) return [at(1)];
  // RFC 4380: the server, and the client with its bits inverted.
  if (begins(0x2001, 0)) return [at(6, 0xffff), at(2)];
  const last =
    // All but ::1, which is loopback itself.
    (begins(0, 0, 0, 0, 0, 0) && !(parts[6] === 0 && parts[7] === 1)) ||
    begins(0, 0, 0, 0, 0, 0xffff) ||
    begins(0, 0, 0, 0, 0xffff, 0) ||
    begins(0x64, 0xff9b, 0, 0, 0, 0) ||
    begins(0x64, 0xff9b, 1) ||
    // ISATAP (RFC 5214) in any prefix.
    (((parts[4] as number) & 0xfdff) === 0 && parts[5] === 0x5efe);
  return last ? [at(6)] : [];
}

/** How a class is spoken of. */
export const classWords: Readonly<Record<AddressClass, string>> = {
  unspecified: 'an unspecified address',
  loopback: 'a loopback address',
  private: 'a private address',
  shared: 'an address behind a carrier (100.64.0.0/10)',
  'link-local': 'a link-local address',
  metadata: 'the metadata service of a cloud',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  documentation: 'an address for documentation',
  benchmarking: 'an address for benchmarks',
  translated: 'an IPv6 address that carries an IPv4 one',
  reserved: 'a reserved address',
};
