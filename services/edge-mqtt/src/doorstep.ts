import type { Socket } from 'node:net';
import type { TimerWheel } from '@pushfleet/runtime';
import { hostOf, plainAddress } from './networks.ts';

export interface DoorstepOptions {
  /** Most that have yet to come in. */
  readonly guests: number;
  /** Most sockets of one client address. */
  readonly perAddress: number;
  /** How long one may stay, in milliseconds. */
  readonly ms: number;
  readonly wheel: Pick<TimerWheel, 'after'>;
}

/** Somebody who has yet to come in: from the accepted socket to the accepted CONNECT, whatever is between them. */
export interface Guest {
  /** Of the client, as far as it is known; undefined: a proxy's, which does not say whose. */
  readonly address: string | undefined;
  /** A proxy says whom it brings, or that it does not know. False: there is no room for them, and the socket is gone. */
  move(address: string | undefined): boolean;
  /** It has come in, or was told that it may not. */
  settle(): void;
}

/** Everybody at the door, on every transport: bounds how many, from where, and for how long. */
export class Doorstep {
  readonly #o: DoorstepOptions;
  readonly #guests = new Map<Guest, Socket>();
  /** Sockets by the host at their other end, those that came in included. */
  readonly #hosts = new Map<string, number>();

  constructor(options: DoorstepOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#guests.size;
  }

  /** Sends everybody away who has yet to come in. */
  close(): void {
    for (const socket of this.#guests.values()) socket.destroy();
  }

  /** Takes a socket that was just accepted. Undefined: there is no room, and it is gone. */
  enter(socket: Socket): Guest | undefined {
    if (this.#guests.size >= this.#o.guests) {
      socket.destroy();
      return undefined;
    }
    const cancel = this.#o.wheel.after(this.#o.ms, () => socket.destroy());
    const settle = (): void => {
      cancel();
      this.#guests.delete(guest);
    };
    const place = new Place(this.#hosts, this.#o.perAddress);
    const guest: Guest = {
      get address() {
        return place.address;
      },
      move: (address) => {
        const moved = place.move(address);
        if (!moved) socket.destroy();
        return moved;
      },
      settle,
    };
    // A socket that is gone already says so, too.
    socket.once('close', () => {
      settle();
      place.move(undefined);
    });
    this.#guests.set(guest, socket);
    const { remoteAddress } = socket;
    return remoteAddress !== undefined && guest.move(remoteAddress) ? guest : undefined;
  }
}

/** The share of one socket in what its host has. */
class Place {
  readonly #hosts: Map<string, number>;
  readonly #most: number;
  address: string | undefined;

  constructor(hosts: Map<string, number>, most: number) {
    this.#hosts = hosts;
    this.#most = most;
  }

  /** False: the host has its most, and the place is nowhere. */
  move(to: string | undefined): boolean {
    if (this.address !== undefined) this.#count(hostOf(this.address), -1);
    this.address = undefined;
    if (to === undefined) return true;
    const address = plainAddress(to);
    const host = hostOf(address);
    if ((this.#hosts.get(host) ?? 0) >= this.#most) return false;
    this.#count(host, 1);
    this.address = address;
    return true;
  }

  #count(host: string, by: 1 | -1): void {
    const count = (this.#hosts.get(host) ?? 0) + by;
    if (count > 0) this.#hosts.set(host, count);
    else this.#hosts.delete(host);
  }
}
