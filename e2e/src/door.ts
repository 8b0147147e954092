import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Conduit, clearWay, type Way } from './conduit.ts';

/** What a fault does to a door; what is not named is as it should be. */
export interface Weather {
  /**
   * Nothing passes either way, and no FIN or RST tells so. Who connects meanwhile is accepted, as this machine's kernel
   * does it, and hears nothing.
   */
  readonly silent?: boolean;
  /** Connections are reset, and so is whoever connects. */
  readonly reset?: boolean;
  /** Milliseconds that everything takes, each way. */
  readonly delayMs?: number;
  /** Each way, all connections together. */
  readonly bytesPerSecond?: number;
}

interface Passage {
  readonly ends: readonly [Socket, Socket];
  readonly conduits: readonly [Conduit, Conduit];
}

/**
 * One address in front of several instances, as a service's address in Kubernetes: a TCP proxy, round robin. It is
 * also the network between two parts, which a fault cuts, resets, slows down or narrows while connections are open.
 */
export class Door {
  readonly #instances: () => readonly string[];
  readonly #server: Server;
  readonly #ways: readonly [Way, Way] = [clearWay(), clearWay()];
  readonly #sockets = new Set<Socket>();
  readonly #passages = new Set<Passage>();
  /** What waits for the end of the silence: callers to be let in, ends of connections to be told. */
  #waiting: (() => void)[] = [];
  #reset = false;
  #turn = 0;

  /** @param instances the host:port of every instance that lives at this moment */
  static async open(instances: () => readonly string[]): Promise<Door> {
    const door = new Door(instances);
    door.#server.listen(0, '127.0.0.1');
    await once(door.#server, 'listening');
    return door;
  }

  private constructor(instances: () => readonly string[]) {
    this.#instances = instances;
    // A proxy that holds back small writes would add 40 ms to every answer.
    const options = { noDelay: true, allowHalfOpen: true, pauseOnConnect: true };
    this.#server = createServer(options, (caller) => {
      this.#keep(caller);
      if (this.#reset) caller.resetAndDestroy();
      else this.#heard(() => this.#enter(caller, 4));
    });
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections lead through it. */
  get passages(): number {
    return this.#passages.size;
  }

  /** From now on the network is like this, for connections that are open, too. */
  set weather({ silent = false, reset = false, delayMs = 0, bytesPerSecond = Infinity }: Weather) {
    this.#reset = reset;
    for (const way of this.#ways) Object.assign(way, { silent, delayMs, bytesPerSecond, busyUntil: 0 });
    if (reset) for (const socket of this.#sockets) socket.resetAndDestroy();
    if (!silent) for (const act of this.#waiting.splice(0)) act();
    this.#move();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #move(): void {
    for (const { conduits } of this.#passages) for (const conduit of conduits) conduit.move();
  }

  /** Now, or as soon as anything is heard again. */
  #heard(act: () => void): void {
    if (this.#ways[0].silent) this.#waiting.push(act);
    else act();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
  }

  #enter(caller: Socket, attempts: number): void {
    if (caller.destroyed) return;
    const addresses = this.#instances();
    const address = addresses[this.#turn++ % addresses.length];
    if (address === undefined || attempts === 0) {
      caller.destroy();
      return;
    }
    const [host, port] = address.split(':') as [string, string];
    const instance = connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
    this.#keep(instance);
    instance.once('error', () => this.#enter(caller, attempts - 1));
    instance.once('connect', () => {
      instance.removeAllListeners('error').on('error', () => {});
      this.#join(caller, instance);
    });
  }

  #join(caller: Socket, instance: Socket): void {
    if (caller.destroyed) {
      instance.destroy();
      return;
    }
    const [there, back] = this.#ways;
    const passage: Passage = {
      ends: [caller, instance],
      conduits: [new Conduit(caller, instance, there), new Conduit(instance, caller, back)],
    };
    this.#passages.add(passage);
    const leave = (other: Socket): void => {
      this.#passages.delete(passage);
      this.#heard(() => other.destroy());
    };
    caller.once('close', () => leave(instance));
    instance.once('close', () => leave(caller));
  }
}
