import type { CloseCode, Wire } from '@pushfleet/edge';
import type { TimerWheel } from '@pushfleet/runtime';
import { type ClientPacket, Decoder, type DecoderLimits, Violation } from '../codec.ts';
import type { ByteStream, Caller, Newcomer } from './caller.ts';

/** Whom a link tells what happens on it. */
export interface Peer {
  packet(packet: ClientPacket): void;
  /** The client broke a rule of the codec's, and nothing more can be read. */
  violated(violation: Violation): void;
  /** The wire takes bytes again. */
  drained(): void;
  /** Ends the connection, and says why. */
  end(code: CloseCode): void;
  /** The connection is gone. Nothing comes afterwards. */
  gone(): void;
}

export interface LinkOptions {
  readonly decoder: DecoderLimits;
  /** Packets that are read a second. */
  readonly packetRate: number;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

// How long a client may take to receive the last bytes and close.
const lingerMs = 5_000;
/** Why nothing is read at this moment. */
const holds = { peer: 1, rate: 2 } as const;

/** A client that ends its half has left: MQTT has no use for the other. */
function destroyThis(this: ByteStream): void {
  this.destroy();
}
const ignore = (): void => {};

/** An MQTT connection on its bytes: packets in, bytes out, and no more of either than the other side takes. */
export class Link implements Wire {
  /** Whoever is behind the connection at this moment. */
  peer: Peer;
  /** What was known of the client when it came. */
  readonly caller: Caller;
  /** Called once, when the stream is gone. */
  onClosed: () => void = ignore;
  readonly #o: LinkOptions;
  readonly #stream: ByteStream;
  readonly #decoder: Decoder;
  #holds = 0;
  /** Packets that may be read now, and when that was counted. */
  #tokens: number;
  #counted: number;
  #reading = false;
  #paused = false;
  #closing = false;

  constructor({ stream, caller }: Pick<Newcomer, 'stream' | 'caller'>, peer: Peer, o: LinkOptions) {
    this.#o = o;
    this.#stream = stream;
    this.caller = caller;
    this.peer = peer;
    this.#decoder = new Decoder(o.decoder);
    this.#tokens = o.packetRate;
    this.#counted = o.now();
    stream.on('data', (bytes) => this.#take(bytes));
    stream.on('drain', () => this.peer.drained());
    stream.on('end', destroyThis);
    stream.on('close', () => this.#closed());
  }

  /** In which version the client can be told anything; undefined: in none. */
  get version(): Decoder['version'] {
    return this.#decoder.version;
  }

  write(bytes: Buffer): boolean {
    return this.#stream.write(bytes);
  }

  /** Writes the last bytes, and waits a while for the client to close. */
  end(bytes: Buffer): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#stream.end(bytes);
    // What still comes is thrown away, so that the client's own close is seen.
    this.#stream.resume();
    this.#o.wheel.after(lingerMs, () => this.#stream.destroy());
  }

  destroy(): void {
    this.#closing = true;
    this.#stream.destroy();
  }

  hold(): void {
    this.#hold(holds.peer);
  }

  release(): void {
    this.#release(holds.peer);
  }

  #take(bytes: Buffer): void {
    if (this.#closing) return;
    this.#decoder.push(bytes);
    this.#read();
  }

  /** Hands over what has come, until somebody holds it back. */
  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#holds === 0 && !this.#closing) {
        const packet = this.#decoder.next();
        if (packet === undefined) break;
        this.#count();
        this.peer.packet(packet);
      }
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      this.peer.violated(thrown);
    } finally {
      this.#reading = false;
    }
    if (this.#paused && this.#holds === 0 && !this.#closing) {
      this.#paused = false;
      this.#stream.resume();
    }
  }

  // Whoever sends faster than the rate is read later: nothing is refused, and nothing is lost.
  #count(): void {
    if (--this.#tokens >= 0) return;
    const { packetRate, now } = this.#o;
    const at = now();
    this.#tokens = Math.min(packetRate, this.#tokens + ((at - this.#counted) / 1_000) * packetRate);
    this.#counted = at;
    if (this.#tokens >= 0) return;
    this.#hold(holds.rate);
    this.#o.wheel.after((-this.#tokens / packetRate) * 1_000, () => this.#release(holds.rate));
  }

  #hold(why: number): void {
    this.#holds |= why;
    if (this.#closing) return;
    this.#paused = true;
    this.#stream.pause();
  }

  #release(why: number): void {
    if ((this.#holds & why) === 0) return;
    this.#holds &= ~why;
    if (this.#holds === 0 && !this.#closing) this.#read();
  }

  #closed(): void {
    this.#closing = true;
    this.peer.gone();
    this.onClosed();
  }
}
