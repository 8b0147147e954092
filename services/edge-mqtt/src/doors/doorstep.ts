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
  readonly #guests = new Set<DoorstepGuest>();
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
    for (const guest of this.#guests) guest.cut();
  }

  /** Takes a socket that was just accepted. Undefined: there is no room, and it is gone. */
  enter(socket: Socket): Guest | undefined {
    if (this.#guests.size >= this.#o.guests) {
      socket.destroy();
      return undefined;
    }
    const guest = new DoorstepGuest(socket, {
      cancel: this.#o.wheel.after(this.#o.ms, () => socket.destroy()),
      onSettled: (settled) => this.#guests.delete(settled),
      count: this.#count,
    });
    this.#guests.add(guest);
    const { remoteAddress } = socket;
    return remoteAddress !== undefined && guest.move(remoteAddress) ? guest : undefined;
  }

  /** False: the host has its most. */
  readonly #count = (host: string, by: 1 | -1): boolean => {
    const count = (this.#hosts.get(host) ?? 0) + by;
    if (count > this.#o.perAddress) return false;
    if (count > 0) this.#hosts.set(host, count);
    else this.#hosts.delete(host);
    return true;
  };
}

interface GuestOptions {
  cancel(): void;
  onSettled(guest: DoorstepGuest): void;
  count(host: string, by: 1 | -1): boolean;
}

// One for each connection, for as long as its socket lives: what only a guest needs goes when it came in.
class DoorstepGuest implements Guest {
  readonly #socket: Socket;
  readonly #count: GuestOptions['count'];
  #waiting: GuestOptions | undefined;
  address: string | undefined;

  constructor(socket: Socket, o: GuestOptions) {
    this.#socket = socket;
    this.#count = o.count;
    this.#waiting = o;
    // A socket that is gone already says so, too.
    socket.on('close', () => {
      this.settle();
      this.move(undefined);
    });
  }

  move(to: string | undefined): boolean {
    if (this.address !== undefined) this.#count(hostOf(this.address), -1);
    this.address = undefined;
    if (to === undefined) return true;
    const address = plainAddress(to);
    if (this.#count(hostOf(address), 1)) this.address = address;
    else this.cut();
    return this.address !== undefined;
  }

  settle(): void {
    this.#waiting?.cancel();
    this.#waiting?.onSettled(this);
    this.#waiting = undefined;
  }

  cut(): void {
    this.#socket.destroy();
  }
}
