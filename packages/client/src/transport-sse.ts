import type { Clock } from './clock.ts';
import { errorOf } from './errors.ts';
import { EventStreamParser, type StreamHandler } from './event-stream.ts';
import { bearer, brokenBy, formOf, type Http, refusalOf } from './http.ts';
import { type CloudEvent, ReceivedMessage } from './message.ts';
import { type Ask, broken, type End, type Link, type LinkEvents, type Transport } from './transport.ts';

// The edge sends something every 15 to 25 seconds.
const silenceMs = 60_000;
// Timers that are so late slept with the device.
const sleptMs = 10_000;
// Longer lists of filters go into the body: URLs are cut off by somebody at 2,000 bytes and more.
const urlChars = 1_500;

/** Server-sent events by fetch, whose requests can carry a header with the token; EventSource cannot. */
export const sseTransport = (http: Http, clock: Clock): Transport => ({
  open: (ask, events) => new SseLink(http, clock, ask, events),
});

class SseLink implements Link, StreamHandler {
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #abort = new AbortController();
  readonly #parser = new EventStreamParser(this);
  #heardAt: number;
  #cancel: () => void = () => {};
  #retryMs: number | undefined;
  #ended = false;

  constructor(http: Http, clock: Clock, ask: Ask, events: LinkEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#heardAt = clock.now();
    this.#read(http, ask).catch((error) => this.#end(brokenBy(error)));
  }

  async #read(http: Http, ask: Ask): Promise<void> {
    const response = await send(http, ask, this.#abort.signal);
    const type = response.headers.get('content-type') ?? '';
    if (response.status !== 200 || !type.startsWith('text/event-stream') || response.body === null) {
      this.#end(await refusalOf(response));
      return;
    }
    this.#watch();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      if (this.#ended) return;
      this.#heardAt = this.#clock.now();
      this.#events.alive();
      this.#parser.push(decoder.decode(piece.value, { stream: true }));
    }
    this.#end(broken('The stream ended without a word.'));
  }

  #watch(): void {
    const due = this.#heardAt + silenceMs;
    this.#cancel = this.#clock.after(Math.max(0, due - this.#clock.now()), () => {
      const late = this.#clock.now() - this.#heardAt - silenceMs;
      if (late < 0) this.#watch();
      else this.#silent(late < sleptMs);
    });
  }

  #silent(stalled: boolean): void {
    this.#end({ ...broken('Nothing came for a minute.'), stalled });
  }

  event(type: string, data: string, id: string): void {
    if (this.#ended) return;
    if (type === 'message') {
      const event = JSON.parse(data) as CloudEvent;
      this.#events.message(new ReceivedMessage(event, event.pushfleetretained === true));
    } else if (type === 'pushfleet.open') this.#events.live(id === '' ? undefined : id);
    else if (type === 'pushfleet.gap') this.#events.gap(JSON.parse(data) as { from: string; to: string });
    else if (type === 'pushfleet.close') {
      this.#end({ error: errorOf(JSON.parse(data) as Record<string, unknown>), broken: false });
    }
  }

  id(id: string): void {
    if (!this.#ended) this.#events.moved(id);
  }

  retry(ms: number): void {
    this.#retryMs = ms;
  }

  check(): void {
    if (!this.#ended && this.#clock.now() - this.#heardAt > silenceMs / 2) this.#silent(false);
  }

  close(): void {
    this.#ended = true;
    this.#cancel();
    this.#abort.abort();
  }

  #end(end: End): void {
    if (this.#ended) return;
    this.close();
    this.#events.end({ retryMs: this.#retryMs, ...end });
  }
}

function send({ url, fetch }: Http, ask: Ask, signal: AbortSignal): Promise<Response> {
  const form = formOf(ask.filters);
  form.append('format', 'cloudevents');
  if (ask.retained) form.append('retained', '1');
  const query = form.toString();
  const inUrl = query.length <= urlChars;
  return fetch(inUrl ? `${url}/sse?${query}` : `${url}/sse`, {
    ...(!inUrl && { method: 'POST', body: form }),
    headers: {
      ...bearer(ask.token),
      accept: 'text/event-stream',
      ...(ask.after !== undefined && { 'last-event-id': ask.after }),
    },
    cache: 'no-store',
    signal,
  });
}
