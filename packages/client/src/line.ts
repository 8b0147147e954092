import { Attempt, type AttemptEvents, type AttemptOptions } from './attempt.ts';
import type { Backoff } from './backoff.ts';
import { reaches } from './cursor.ts';
import type { PushfleetError } from './errors.ts';
import type { TransportName } from './fleet.ts';
import type { ReceivedMessage } from './message.ts';
import type { Gap, Reader, Start } from './subscription.ts';
import type { End } from './transport.ts';

/** What a line needs of its owner, and tells it. */
export interface LineOwner {
  readonly attempt: Omit<AttemptOptions, 'name' | 'transport' | 'filters' | 'start'>;
  transport(name: TransportName): AttemptOptions['transport'];
  backoff(): Backoff;
  /** It stands, also on another connection than before. */
  onLive(line: Line): void;
  onMoved(line: Line): void;
  /** Its connection ended, and no other took over. */
  onDown(line: Line, attempt: Attempt, end: End): void;
  /** A connection that was to take over ended before it could. */
  onCandidateDown(line: Line, attempt: Attempt, end: End): void;
  /** The fleet does not agree to a filter that was added. */
  onRefused(line: Line, readers: readonly Reader[], error: PushfleetError): void;
  /** The readers of the guest belong to this line from now on. */
  onAdopted(line: Line, guest: Line): void;
  onGuestRefused(line: Line, guest: Line, error: PushfleetError): void;
}

/**
 * One place in the log and the subscriptions that share it: a connection, at times a second one that takes over from the
 * first, and between two connections the place to go on from.
 *
 * Why nothing is lost or comes twice where two connections overlap: each of them gives all of a topic behind the place it
 * began at, in order, and began at or before the place where its readers are. So whichever is first to bring a publication,
 * everything before it on its topic has been given, and the other's copy is known by its key.
 */
export class Line implements AttemptEvents {
  readonly members = new Set<Reader>();
  /** A line whose readers are about to move over to this one. */
  guest: Line | undefined;
  /** It began without a cursor: it brings what is new, not what was before. */
  readonly current: boolean;
  /** It was seen to be behind the main line. */
  behind = false;
  /** Not to be merged before, Unix time in milliseconds. */
  mergeAt = 0;
  /** How many connections in a row broke soon after they stood. */
  flaps = 0;
  /** Cancels the coming back it waits for; whether the fleet named that time. */
  waiting: { cancel(): void; told: boolean } | undefined;
  readonly backoff: Backoff;
  readonly #owner: LineOwner;
  #start: Start;
  #active: Attempt | undefined;
  #candidate: Attempt | undefined;
  /** The guest for which the newest connection was opened, too. */
  #carried: Line | undefined;
  /** Filters that the active connection was asked to add. */
  readonly #pending = new Set<string>();
  #cancelSync: (() => void) | undefined;
  #used = false;
  #closed = false;

  constructor(owner: LineOwner, start: Start) {
    this.#owner = owner;
    this.#start = start;
    this.current = start.after === undefined;
    this.backoff = owner.backoff();
  }

  get active(): Attempt | undefined {
    return this.#active;
  }

  get candidate(): Attempt | undefined {
    return this.#candidate;
  }

  get isLive(): boolean {
    return this.#active?.isLive ?? false;
  }

  /** It has not tried to connect: who begins at the same place may share it. */
  get isFresh(): boolean {
    return !this.#used;
  }

  get isIdle(): boolean {
    return this.#active === undefined && this.waiting === undefined && !this.#closed;
  }

  get place(): Start {
    return this.#active?.place ?? this.#start;
  }

  get filters(): readonly string[] {
    const filters = new Set<string>();
    for (const { filter } of this.#readers()) filters.add(filter);
    return [...filters];
  }

  *#readers(): Iterable<Reader> {
    yield* this.members;
    if (this.guest !== undefined) yield* this.guest.members;
  }

  open(name: TransportName): void {
    this.stopWaiting();
    this.#used = true;
    this.#activate(this.#attempt(name));
  }

  /** Opens another connection beside the one that stands, to take over once it stands itself. */
  replace(name: TransportName): void {
    if (this.#candidate === undefined && this.isLive) this.#candidate = this.#attempt(name);
  }

  #attempt(name: TransportName): Attempt {
    const { guest } = this;
    // Beginning here, it would not bring the guest what lies between the guest's place and this one.
    if (guest !== undefined && reaches(guest.place.after ?? '', this.place.after ?? '') !== true)
      this.guest = undefined;
    this.#carried = this.guest;
    const transport = this.#owner.transport(name);
    const ask = { filters: this.filters, start: this.place };
    return new Attempt({ ...this.#owner.attempt, ...ask, name, transport }, this);
  }

  stopWaiting(): void {
    this.waiting?.cancel();
    this.waiting = undefined;
  }

  close(): void {
    this.#closed = true;
    this.stopWaiting();
    this.#cancelSync?.();
    this.#candidate?.close();
    this.#active?.close();
    this.#candidate = this.#active = undefined;
  }

  /** Brings the connection's filters in line with those of the readers. */
  sync(): void {
    const active = this.#active;
    if (active === undefined || !active.isLive || this.#candidate !== undefined) return;
    const wanted = this.filters;
    const missing = wanted.filter((filter) => !active.filters.has(filter) && !this.#pending.has(filter));
    const surplus = [...active.filters].filter((filter) => !wanted.includes(filter));
    const { link } = active;
    this.#stand(active);
    if (missing.length + surplus.length === 0 || link === undefined) return;
    if (link.add !== undefined && link.remove !== undefined) {
      if (surplus.length > 0) link.remove(surplus);
      for (const filter of surplus) active.filters.delete(filter);
      this.#addAll(active, missing);
    } else if (wanted.length > 0) this.#later(this.guest === undefined ? 20 : 0, () => this.#replaceAlike());
  }

  #replaceAlike(): void {
    if (this.#active !== undefined) this.replace(this.#active.name);
  }

  #later(ms: number, run: () => void): void {
    if (this.#cancelSync !== undefined) return;
    this.#cancelSync = this.#owner.attempt.clock.after(ms, () => {
      this.#cancelSync = undefined;
      run();
    });
  }

  #addAll(active: Attempt, missing: readonly string[]): void {
    const own = new Set([...this.members].map(({ filter }) => filter));
    const plain = missing.filter((filter) => own.has(filter));
    const guests = missing.filter((filter) => !own.has(filter));
    if (plain.length > 0) void this.#add(active, plain, undefined);
    if (guests.length > 0) void this.#add(active, guests, this.guest?.place.after);
  }

  async #add(active: Attempt, filters: readonly string[], after: string | undefined): Promise<void> {
    for (const filter of filters) this.#pending.add(filter);
    try {
      await active.link?.add?.(filters, after);
      if (this.#active !== active) return;
      for (const filter of filters) {
        this.#pending.delete(filter);
        active.filters.add(filter);
      }
      this.sync(); // some may have left meanwhile
    } catch (thrown) {
      if (this.#active !== active || active.link === undefined) return;
      for (const filter of filters) this.#pending.delete(filter);
      await this.#notAdded(active, filters, after, thrown as PushfleetError);
    }
  }

  async #notAdded(
    active: Attempt,
    filters: readonly string[],
    after: string | undefined,
    error: PushfleetError,
  ): Promise<void> {
    const { guest } = this;
    if (guest !== undefined && filters.some((filter) => !this.#owns(filter))) {
      this.guest = undefined;
      this.#owner.onGuestRefused(this, guest, error);
    } else if (error.retryable) this.#later(error.retryAfterMs ?? 5_000, () => this.sync());
    else if (filters.length > 1) for (const filter of filters) await this.#add(active, [filter], after);
    else this.#owner.onRefused(this, this.#readersOf(filters), error);
  }

  #owns(filter: string): boolean {
    return [...this.members].some((reader) => reader.filter === filter);
  }

  #readersOf(filters: readonly string[]): readonly Reader[] {
    return [...this.members].filter(({ filter }) => filters.includes(filter));
  }

  /** What was asked for stands: for the guest, too, where all of its filters do. */
  #stand(active: Attempt): void {
    for (const reader of this.members) if (active.filters.has(reader.filter)) reader.stands();
    const { guest } = this;
    if (guest === undefined || ![...guest.members].every(({ filter }) => active.filters.has(filter))) return;
    this.guest = undefined;
    for (const reader of guest.members) this.members.add(reader);
    guest.members.clear();
    this.#owner.onAdopted(this, guest);
  }

  #activate(attempt: Attempt | undefined): void {
    this.#active = attempt;
    this.#candidate = undefined;
    this.#pending.clear();
    if (attempt === undefined || this.#carried !== this.guest) this.guest = undefined;
  }

  live(attempt: Attempt): void {
    if (attempt === this.#candidate) {
      this.#active?.close();
      this.#activate(attempt);
    }
    if (attempt !== this.#active) return;
    this.sync();
    this.#owner.onLive(this);
  }

  message(attempt: Attempt, message: ReceivedMessage): void {
    const before = attempt.place;
    for (const reader of [...this.members]) reader.take(message, before);
    const { guest } = this;
    if (guest === undefined) return;
    // This connection may not bring all of its topics yet: its own line's place is the one to go on from.
    const { place } = guest;
    for (const reader of [...guest.members]) reader.take(message, place);
  }

  gap(attempt: Attempt, gap: Gap): void {
    // The one that takes over repeats what the one that stands has said.
    if (attempt === this.#active) for (const reader of [...this.#readers()]) reader.gap(gap);
  }

  moved(attempt: Attempt): void {
    if (attempt === this.#active) this.#owner.onMoved(this);
  }

  end(attempt: Attempt, end: End): void {
    if (attempt === this.#candidate) {
      this.#candidate = undefined;
      this.#owner.onCandidateDown(this, attempt, end);
    } else if (attempt === this.#active) {
      this.#start = attempt.place;
      this.#activate(this.#candidate);
      if (this.#active === undefined) this.#owner.onDown(this, attempt, end);
    }
  }

  /** Lets go of a guest that was to move over. */
  refuseGuest(): Line | undefined {
    const { guest } = this;
    this.guest = undefined;
    return guest;
  }
}
