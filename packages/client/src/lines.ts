import { type Attempt, type AttemptOptions, retainedMs } from './attempt.ts';
import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { reaches } from './cursor.ts';
import { isToken, type PushfleetError } from './errors.ts';
import type { TransportName } from './fleet.ts';
import type { Ladder } from './ladder.ts';
import { Line, type LineOwner } from './line.ts';
import type { Reader, Start } from './subscription.ts';
import type { Tokens } from './token.ts';
import type { End, Request, Transport } from './transport.ts';

/** Most lines beside the main one that are opening at a time: browsers grant an origin six connections. */
const mostOpening = 2;
/** Until a better way is tried beside the one in use, first, after the device woke, and at most; in milliseconds. */
const probeMs = 15_000;
const wokenMs = 500;
const probeMostMs = 15 * 60_000;
/** A connection that stood so long was a good one; a way on which so many in a row did not is none. */
const steadyMs = 10_000;
const mostFlaps = 3;
/** After a line could not be merged, until it is tried again. */
const remergeMs = 30_000;

export interface LinesOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transports: Readonly<Partial<Record<TransportName, Transport>>>;
  readonly ladder: Ladder;
  readonly tokens: Tokens;
  readonly openMs: number;
  /** The state or the transport may have changed. */
  onChange(): void;
  onError(error: PushfleetError): void;
  /** The fleet refuses whatever is asked: the end of the client. */
  onFail(error: PushfleetError): void;
  /** The main connection stands, maybe on another way. */
  onLive(): void;
  /** There may be another token than before. */
  onToken(): void;
}

/**
 * All lines of a client. One is the main line, whose connection all subscriptions share once they are at the same place. A
 * subscription that begins elsewhere, at a cursor or with what is retained, or that fell behind since its reader is slow,
 * begins as a line of its own, and moves over to the main line when its place has reached that one's.
 */
export class Lines implements LineOwner {
  readonly attempt: Omit<AttemptOptions, 'name' | 'transport' | 'filters' | 'start'>;
  readonly #o: LinesOptions;
  readonly #all = new Set<Line>();
  #main: Line | undefined;
  #kept = false;
  #settling = false;
  #closed = false;
  #cancelProbe: (() => void) | undefined;
  #probes: readonly TransportName[] = [];
  #probeMs = probeMs;

  constructor(options: LinesOptions) {
    const { clock, openMs, tokens } = options;
    this.#o = options;
    this.attempt = { clock, openMs, token: () => tokens.get() };
  }

  get state(): 'idle' | 'connecting' | 'connected' | 'waiting' {
    const main = this.#main;
    if (main === undefined) return 'idle';
    if (main.isLive) return 'connected';
    return main.waiting === undefined ? 'connecting' : 'waiting';
  }

  get name(): TransportName | undefined {
    return this.#main?.isLive ? this.#main.active?.name : undefined;
  }

  /** Asks the fleet over the main connection, where that can. */
  get request(): Request | undefined {
    const link = this.#main?.isLive ? this.#main.active?.link : undefined;
    return link?.request?.bind(link);
  }

  transport(name: TransportName): Transport {
    return this.#o.transports[name] as Transport;
  }

  backoff(): Backoff {
    return new Backoff(this.#o.random);
  }

  /** Brings a reader to its place. */
  enter(reader: Reader, start: Start): void {
    const plain = start.after === undefined && !start.retained;
    if (plain && this.#main?.current) {
      this.#main.members.add(reader);
      this.#main.sync();
    } else {
      const same = (line: Line) =>
        line.isFresh && line.place.after === start.after && line.place.retained === start.retained;
      const line = [...this.#all].find(same) ?? new Line(this, start);
      this.#all.add(line);
      line.members.add(reader);
    }
    this.settle();
  }

  leave(reader: Reader): void {
    for (const line of this.#all) if (line.members.delete(reader)) line.sync();
    this.settle();
  }

  /** Whether a WebSocket is wanted although nothing is subscribed. */
  keep(kept: boolean): void {
    this.#kept = kept;
    this.settle();
  }

  /** Does what is to be done, once the calls that are under way have been. */
  settle(): void {
    if (this.#settling || this.#closed) return;
    this.#settling = true;
    this.#o.clock.after(0, () => {
      this.#settling = false;
      if (!this.#closed) this.#settle();
    });
  }

  #settle(): void {
    this.#choose();
    for (const line of this.#all) {
      const isKept = line === this.#main && this.#kept;
      if (line.members.size === 0 && !isKept) this.#drop(line);
    }
    this.#choose();
    const main = this.#main;
    if (main?.isIdle) this.#open(main);
    let opening = 0;
    for (const line of this.#all) {
      if (line === main) continue;
      if (line.isIdle && main?.isLive && opening < mostOpening) this.#open(line);
      if (line.active !== undefined && !line.isLive) opening++;
      this.#compare(line);
    }
    this.#o.onChange();
  }

  /** The main line: one that brings what is new, where there is one. */
  #choose(): void {
    const all = [...this.#all].filter(({ members }) => members.size > 0);
    if (this.#main === undefined || (!this.#main.current && !this.#main.isLive)) {
      this.#main = all.find(({ current }) => current) ?? this.#main ?? all[0];
    }
    if (this.#main === undefined && this.#kept) {
      this.#main = new Line(this, { after: undefined, retained: false });
      this.#all.add(this.#main);
    }
  }

  #drop(line: Line): void {
    line.close();
    this.#all.delete(line);
    if (this.#main?.guest === line) this.#main.refuseGuest();
    if (this.#main === line) this.#main = undefined;
  }

  #open(line: Line): void {
    const beside = line !== this.#main ? this.#main?.active?.name : undefined;
    const name = line.filters.length === 0 ? 'websocket' : (beside ?? this.#o.ladder.pick);
    if (this.#o.transports[name] === undefined) this.#wait(line, probeMostMs, false);
    else line.open(name);
  }

  onLive(line: Line): void {
    this.#o.tokens.accepted();
    if (line === this.#main) {
      const { name } = line.active as Attempt;
      this.#o.ladder.worked(name);
      this.#armProbe(name);
      this.#o.onLive();
      for (const other of this.#all) if (other !== line) this.#compare(other);
    } else this.#compare(line);
    this.#o.onToken();
    this.#o.onChange();
    this.settle();
    if (line.place.retained) this.#o.clock.after(retainedMs, () => this.settle());
  }

  onMoved(line: Line): void {
    if (line !== this.#main) this.#compare(line);
    else if (this.#all.size > 1) for (const other of this.#all) if (other !== line) this.#compare(other);
  }

  /** Lets a line move over to the main one where its place has just reached that one's. */
  #compare(line: Line): void {
    const main = this.#main;
    if (main === undefined || !main.isLive || !line.isLive || main.guest !== undefined) return;
    const [here, there] = [line.place.after, main.place.after];
    if (here === undefined || there === undefined || line.place.retained) return;
    const reached = reaches(here, there);
    if (reached === false) line.behind = true;
    if (reached !== true || main.candidate !== undefined) return;
    if (!line.behind && reaches(there, here) !== true && !main.current) {
      // It is ahead: the other one is to catch up with it.
      main.behind = true;
      this.#main = line;
      this.#o.onLive();
    } else if (this.#o.clock.now() >= line.mergeAt) {
      main.guest = line;
      main.sync();
    }
  }

  onAdopted(_line: Line, guest: Line): void {
    this.#drop(guest);
    this.settle();
  }

  onGuestRefused(_line: Line, guest: Line, error: PushfleetError): void {
    const wait = error.retryAfterMs ?? remergeMs;
    guest.mergeAt = this.#o.clock.now() + wait;
    this.#o.clock.after(wait, () => this.settle());
  }

  onRefused(line: Line, readers: readonly Reader[], error: PushfleetError): void {
    for (const reader of readers) {
      line.members.delete(reader);
      reader.fail(error);
    }
    this.#o.onError(error);
    this.settle();
  }

  onDown(line: Line, attempt: Attempt, end: End): void {
    if (line === this.#main) this.#cancelProbe?.();
    if (attempt.liveMs >= steadyMs) {
      line.backoff.reset();
      line.flaps = 0;
    } else if (attempt.isLive && end.broken) line.flaps++;
    if (isToken(end.error)) this.#refusedToken(line, attempt, end.error);
    else if (this.#isWay(line, attempt, end)) this.#wayFailed(line, attempt, end);
    else if (!end.error.retryable) this.#refused(line, end.error);
    else this.#comeBack(line, attempt, end);
    this.settle();
  }

  /** Whether the way itself failed, and another may work. */
  #isWay(line: Line, attempt: Attempt, { error, broken, stalled }: End): boolean {
    if (missing.test(error.code)) return true;
    return broken && (!attempt.isLive || stalled === true || line.flaps >= mostFlaps);
  }

  #wayFailed(line: Line, attempt: Attempt, { error }: End): void {
    line.flaps = 0;
    const another = line === this.#main && line.filters.length > 0 && this.#o.ladder.failed(attempt.name);
    if (another) return; // it is opened as soon as things settle
    this.#o.onError(error);
    this.#wait(line, line.backoff.next(), false);
  }

  #comeBack(line: Line, attempt: Attempt, { error, broken, retryMs = 0 }: End): void {
    // Refused before it stood: for want of room, maybe, which another way may have.
    if (!attempt.isLive && line === this.#main && error.code !== 'draining')
      this.#o.ladder.failed(attempt.name);
    if (!calm.test(error.code)) this.#o.onError(error);
    this.#wait(line, Math.max(line.backoff.next(), retryMs), !broken && retryMs > 0);
  }

  #wait(line: Line, ms: number, told: boolean): void {
    const cancel = this.#o.clock.after(ms, () => {
      line.waiting = undefined;
      this.settle();
    });
    line.waiting = { cancel, told };
  }

  #refusedToken(line: Line, attempt: Attempt, error: PushfleetError): void {
    if (!this.#o.tokens.refused(attempt.token)) this.#o.onFail(error);
    else this.#wait(line, line.backoff.next(), false);
  }

  /** The fleet refuses what the line asks for: finds out which of its filters is meant. */
  #refused(line: Line, error: PushfleetError): void {
    const filters = line.filters;
    const readers = [...line.members];
    if (readers.length === 0) this.#o.onFail(error);
    else if (error.code === 'too_many_filters' && filters.length > 1) {
      const over = filters.slice(error.limit ?? filters.length - 1);
      this.onRefused(
        line,
        readers.filter(({ filter }) => over.includes(filter)),
        error,
      );
    } else if (filters.length === 1 || error.code === 'cursor_invalid') this.onRefused(line, readers, error);
    else this.#split(line, readers);
  }

  /** Gives each of the readers a line of its own, at the place of this one: so the right one is refused. */
  #split(line: Line, readers: readonly Reader[]): void {
    const start = { ...line.place };
    for (const reader of readers) {
      const own = new Line(this, start);
      line.members.delete(reader);
      own.members.add(reader);
      this.#all.add(own);
    }
    this.settle();
  }

  onCandidateDown(line: Line, attempt: Attempt, { error, broken }: End): void {
    const guest = line.refuseGuest();
    if (guest !== undefined && !broken) this.onGuestRefused(line, guest, error);
    this.settle();
    if (attempt.name !== line.active?.name) {
      this.#probe();
      return;
    }
    if (isToken(error)) this.#o.tokens.refused(attempt.token);
    else if (!broken && !error.retryable) {
      this.#split(
        line,
        [...line.members].filter(({ stood }) => !stood),
      ); // their filters are the new ones
    }
    this.#o.clock.after(1_000 + line.backoff.next(), () => line.sync());
  }

  /** Tries better ways beside the one in use, now and then. */
  #armProbe(name: TransportName): void {
    this.#cancelProbe?.();
    this.#probes = [];
    if (this.#o.ladder.better(name).length === 0) {
      this.#probeMs = probeMs;
      return;
    }
    const wait = this.#probeMs * (0.5 + this.#o.random());
    this.#probeMs = Math.min(this.#probeMs * 2, probeMostMs);
    this.#cancelProbe = this.#o.clock.after(wait, () => {
      this.#probes = this.#o.ladder.better(name);
      this.#probe();
    });
  }

  #probe(): void {
    const main = this.#main;
    if (main?.active === undefined) return;
    const [next, ...rest] = this.#probes;
    this.#probes = rest;
    if (next !== undefined && main.candidate === undefined && main.isLive) main.replace(next);
    else this.#armProbe(main.active.name);
  }

  /** The network is back, or somebody looks at the page again. @param forced also where the fleet said to wait */
  wake(forced: boolean): void {
    // On another network a better way may work.
    this.#probeMs = wokenMs;
    const name = this.#main?.candidate === undefined ? this.name : undefined;
    if (name !== undefined) this.#armProbe(name);
    for (const line of this.#all) {
      if (line.waiting !== undefined && (forced || !line.waiting.told)) {
        line.backoff.reset();
        line.stopWaiting();
      }
      line.active?.link?.check();
    }
    this.settle();
  }

  /** Goes on with another token, without a moment in which nothing is heard. */
  renew(token: string): void {
    for (const line of this.#all) {
      if (line.active?.isLive && !line.active.renew(token)) line.replace(line.active.name);
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelProbe?.();
    for (const line of this.#all) line.close();
    this.#all.clear();
    this.#main = undefined;
  }
}

/** The fleet has no such edge. */
const missing = /^(not_found|method_not_allowed|unsupported_media_type)$/;
/** Ends that are no failure. */
const calm = /^(draining|connection_age|unreachable)$/;
