import { createHash } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import type { Grant, RateLimit } from '@pushfleet/runtime';
import type { Store } from './redis.ts';
import { createTicket, parseTicket, refused, seal, type Ticket, unseal } from './ticket.ts';

export interface TicketOptions {
  /** How long a ticket lives, in milliseconds. */
  readonly lifetimeMs: number;
  /** Most tickets of one subject that may wait to be used. */
  readonly outstanding: number;
  readonly rate: RateLimit;
  readonly now?: () => number;
}

export interface IssuedTicket {
  readonly ticket: string;
  /** Seconds. */
  readonly expiresIn: number;
}

// Notes a ticket in its subject's set, whose scores are expiries by Redis' own clock. Answers 0, or the
// milliseconds until the oldest expires where the set is full.
const reserve = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  return math.max(1, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] - now)
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 0`;

/** Issues tickets and takes them back. Any number of instances share the tickets through Redis. */
export class Tickets {
  readonly counts = { issued: 0, redeemed: 0, refused: 0 };
  readonly #store: Store;
  readonly #options: TicketOptions;
  readonly #now: () => number;

  constructor(store: Store, options: TicketOptions) {
    this.#store = store;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * A ticket for a token that was just checked; it never outlives the token.
   *
   * @throws PushfleetError `rate_limited`, or `unavailable` without Redis
   */
  async issue(grant: Grant, token: string): Promise<IssuedTicket> {
    this.#options.rate.require(JSON.stringify([grant.namespace, grant.subject]));
    const ticket = createTicket(grant.namespace);
    const lifetimeMs = Math.max(1_000, Math.min(this.#options.lifetimeMs, grant.expiresAt - this.#now()));
    await this.#reserve(ticket, grant.subject, lifetimeMs);
    const record = seal(ticket, { token, subject: grant.subject });
    await this.#store.command('SET', recordKey(ticket), record, 'PX', lifetimeMs);
    this.counts.issued++;
    return { ticket: ticket.text, expiresIn: Math.floor(lifetimeMs / 1_000) };
  }

  /**
   * The token of a ticket; whoever asks second is refused, at whatever instance.
   *
   * @throws PushfleetError `unauthenticated`, or `unavailable` without Redis
   */
  async redeem(text: string): Promise<string> {
    try {
      const ticket = parseTicket(text);
      const record = await this.#store.command('GETDEL', recordKey(ticket));
      if (typeof record !== 'string') throw refused();
      const contents = unseal(ticket, record);
      this.counts.redeemed++;
      // Frees the subject's place early; where it fails, the place frees itself when the ticket would have expired.
      this.#store.command('ZREM', setKey(ticket, contents.subject), ticket.id).catch(() => {});
      return contents.token;
    } catch (error) {
      if (error instanceof PushfleetError && error.code === 'unauthenticated') this.counts.refused++;
      throw error;
    }
  }

  async #reserve(ticket: Ticket, subject: string, lifetimeMs: number): Promise<void> {
    const { outstanding } = this.#options;
    const key = setKey(ticket, subject);
    const waitMs = Number(
      await this.#store.command(
        'EVAL',
        reserve,
        1,
        key,
        outstanding,
        lifetimeMs,
        ticket.id,
        this.#options.lifetimeMs,
      ),
    );
    if (waitMs === 0) return;
    throw new PushfleetError(
      'rate_limited',
      `${outstanding} tickets of this subject wait to be used, the most allowed. Use them, or wait until they expire.`,
      { retryAfterMs: waitMs, detail: { limit: outstanding } },
    );
  }
}

const recordKey = (ticket: Ticket): string => `${ticket.namespace}:ticket:${ticket.id}`;

/** A subject may be personal; the key shows only its hash. */
function setKey(ticket: Ticket, subject: string): string {
  return `${ticket.namespace}:tickets:${createHash('sha256').update(subject).digest('base64url')}`;
}
