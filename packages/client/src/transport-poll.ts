import type { Clock } from './clock.ts';
import { bearer, brokenBy, formOf, type Http, refusalOf } from './http.ts';
import { type CloudEvent, ReceivedMessage } from './message.ts';
import type { Gap } from './subscription.ts';
import { type Ask, broken, type End, type Link, type LinkEvents, type Transport } from './transport.ts';

/** How long the fleet may wait for something to answer with, in seconds: intermediaries cut at 30 s and more. */
const waitSeconds = 25;
/** How much longer than that an answer may take on its way, in milliseconds. */
const graceMs = 15_000;

interface Answer {
  readonly cursor: string;
  readonly items: readonly { event?: CloudEvent; retained?: boolean; gap?: Gap }[];
}

/** Long polling: the cursor of one answer goes into the next request, which thereby says that the answer arrived. */
export const pollTransport = (http: Http, clock: Clock): Transport => ({
  open: (ask, events) => new PollLink(http, clock, ask, events),
});

class PollLink implements Link {
  readonly #http: Http;
  readonly #clock: Clock;
  readonly #ask: Ask;
  readonly #events: LinkEvents;
  #token: string;
  #cursor: string | undefined;
  #abort = new AbortController();
  #again = false;
  #askedAt = 0;
  #ended = false;

  constructor(http: Http, clock: Clock, ask: Ask, events: LinkEvents) {
    this.#http = http;
    this.#clock = clock;
    this.#ask = ask;
    this.#events = events;
    this.#token = ask.token;
    this.#cursor = ask.after;
    this.#run().catch((error) => this.#end(brokenBy(error)));
  }

  async #run(): Promise<void> {
    const { after, retained } = this.#ask;
    if (retained && after !== undefined) {
      // Retained ones are given to those who have no cursor.
      this.#cursor = undefined;
      if (!(await this.#once(0, true, false))) return;
      this.#cursor = after;
    }
    // The first answer comes at once and says that this way works.
    if (!(await this.#once(0, retained && after === undefined))) return;
    this.#events.live(this.#cursor);
    while (!this.#ended) if (!(await this.#once(waitSeconds, false))) return;
  }

  /** @param moves whether the place moves on with the answer. @returns whether to go on */
  async #once(wait: number, retained: boolean, moves = true): Promise<boolean> {
    const cancel = this.#clock.after(wait * 1_000 + graceMs, () => this.#abort.abort());
    try {
      this.#askedAt = this.#clock.now();
      const response = await this.#send(wait, retained);
      if (this.#ended) return false;
      let cursor = response.headers.get('etag')?.replace(/^(W\/)?"|"$/g, '');
      if (response.status === 200) cursor = this.#take((await response.json()) as Answer);
      else if (response.status !== 204) this.#end(await refusalOf(response));
      if (this.#ended) return false;
      this.#events.alive();
      if (moves && cursor !== undefined) {
        this.#cursor = cursor;
        this.#events.moved(cursor);
      }
      return !this.#ended;
    } catch (error) {
      if (!this.#again) throw error;
      this.#again = false;
      return true;
    } finally {
      cancel();
    }
  }

  #send(wait: number, retained: boolean): Promise<Response> {
    const { url, fetch } = this.#http;
    const form = formOf(this.#ask.filters);
    form.append('wait', String(wait));
    if (retained) form.append('retained', '1');
    if (this.#cursor !== undefined) form.append('after', this.#cursor);
    return fetch(`${url}/poll`, {
      method: 'POST',
      body: form,
      headers: { ...bearer(this.#token), accept: 'application/json' },
      cache: 'no-store',
      signal: this.#abort.signal,
    });
  }

  #take({ cursor, items }: Answer): string {
    if (!this.#ended) this.#events.alive();
    for (const { event, retained, gap } of items) {
      if (this.#ended) break; // whoever was given one may have closed this
      if (gap !== undefined) this.#events.gap(gap);
      else if (event !== undefined) this.#events.message(new ReceivedMessage(event, retained === true));
    }
    return cursor;
  }

  // The fleet ends a poll with its token: it is asked anew, from the same place.
  renew(token: string): void {
    this.#token = token;
    this.#again = true;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  check(): void {
    if (this.#ended || this.#clock.now() - this.#askedAt < waitSeconds * 1_000) return;
    this.#end(broken('The answer is late.'));
  }

  close(): void {
    this.#ended = true;
    this.#abort.abort();
  }

  #end(end: End): void {
    if (this.#ended) return;
    this.close();
    this.#events.end(end);
  }
}
