import { BlockList, isIP } from 'node:net';

/** Addresses and ranges of them. */
export class Networks {
  readonly #list = new BlockList();

  /** @param entries such as `10.0.0.0/8` and `::1` @throws Error that names an entry that is neither */
  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry);
  }

  #add(entry: string): void {
    const [, address = '', prefix] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    const version = isIP(address);
    const longest = version === 4 ? 32 : 128;
    const bits = prefix === undefined ? longest : Number(prefix);
    if (version === 0 || bits > longest) throw new Error(`${JSON.stringify(entry)} is neither`);
    this.#list.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  }

  has(address: string | undefined): boolean {
    const version = address === undefined ? 0 : isIP(address);
    return version !== 0 && this.#list.check(address as string, version === 4 ? 'ipv4' : 'ipv6');
  }
}

/** Comma-separated. @throws Error as the constructor of Networks does */
export const parseNetworks = (text: string): Networks =>
  new Networks(text.split(',').flatMap((entry) => (entry.trim() === '' ? [] : [entry.trim()])));

const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** An address as it is shown: sockets that take both families put IPv4 addresses into IPv6 ones. */
export const plainAddress = (address: string): string => mapped.exec(address)?.[1] ?? address;

/** What counts as one client: an IPv6 host has a whole /64 to choose its addresses from. */
export function hostOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = (address.split('%')[0] as string).split('::');
  const groups = head === '' ? [] : head.split(':');
  // What "::" stands for is zeros, up to what is behind it.
  if (tail !== undefined) {
    const behind = tail === '' ? [] : tail.split(':');
    while (groups.length + behind.length < 8) groups.push('0');
    groups.push(...behind);
  }
  return `${groups.slice(0, 4).join(':')}::/64`;
}
