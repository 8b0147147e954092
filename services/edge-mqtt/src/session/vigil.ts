import type { TimerWheel } from '@pushfleet/runtime';

export interface VigilOptions {
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** In seconds; 0: none. */
  readonly keepAlive: number;
  /** The session outlives the connection. */
  readonly keeps: boolean;
  /** When the connection ends, Unix time in milliseconds; it may change. */
  endsAt(): number;
  /** Packets are not read at this moment: who is not read cannot be heard. */
  isHeld(): boolean;
  onEnd(): void;
  /** Nothing came within one and a half times the keep alive ([MQTT-3.1.2-22]). */
  onSilence(): void;
  /** Now and then. */
  onIdle(): void;
}

/** How far the place of a quiet session may be behind, in milliseconds: of what its resume reads again. */
const idleMs = 60_000;

/** The one timer of a connection: keep alive, its deadline, and the place of a session that nothing comes for. */
export class Vigil {
  readonly #o: VigilOptions;
  /** When the last packet came. */
  #heard: number;
  #cancel: () => void = () => {};

  constructor(options: VigilOptions) {
    this.#o = options;
    this.#heard = options.now();
  }

  heard(): void {
    this.#heard = this.#o.now();
  }

  /** Also where its deadline has changed. */
  arm(): void {
    this.#cancel();
    const { wheel, now, endsAt, keeps } = this.#o;
    const ms = Math.min(endsAt(), this.#silentAt) - now();
    this.#cancel = wheel.after(keeps ? Math.min(ms, idleMs) : ms, this.#onTimer);
  }

  /** Instead of all that, calls `run` after so many milliseconds. */
  last(ms: number, run: () => void): void {
    this.#cancel();
    this.#cancel = this.#o.wheel.after(ms, run);
  }

  stop(): void {
    this.#cancel();
  }

  get #silentAt(): number {
    const { keepAlive } = this.#o;
    return keepAlive === 0 ? Number.POSITIVE_INFINITY : this.#heard + keepAlive * 1_500;
  }

  readonly #onTimer = (): void => {
    const now = this.#o.now();
    if (this.#o.isHeld()) this.#heard = now;
    if (now >= this.#o.endsAt()) this.#o.onEnd();
    else if (now >= this.#silentAt) this.#o.onSilence();
    else {
      this.#o.onIdle();
      this.arm();
    }
  };
}
