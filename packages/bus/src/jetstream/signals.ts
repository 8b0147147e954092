import type { Msg, Subscription } from '@nats-io/transport-node';
import type { Signals } from '@pushfleet/core';
import { decodeSignal, encodeSignal } from '../signal.ts';
import { subjectRoot } from '../subject.ts';
import { statusOf } from './headers.ts';
import type { Link } from './link.ts';
import type { Log } from './log.ts';
import { rawBlock } from './raw.ts';

const tellSubject = (name: string): string => `${subjectRoot}.fleet.tell.${name}`;
const askSubject = (name: string): string => `${subjectRoot}.fleet.ask.${name}`;
const noResponders = 503;

/** What is listened to, from before the first connection on. */
interface Listening {
  readonly subject: string;
  readonly on: (value: unknown, message: Msg) => void;
  subscription: Subscription | undefined;
}

/** Signals as core NATS messages, over the connection that carries the live ones: replays do not delay them. */
export class JetStreamSignals implements Signals {
  readonly #link: Link;
  readonly #log: Log;
  readonly #listening = new Set<Listening>();
  readonly #onReturn = new Set<() => void>();
  #lost = false;

  constructor(link: Link, log: Log) {
    this.#link = link;
    this.#log = log;
    // nats-core itself renews what was subscribed when a connection comes back.
    link.watch((up) => {
      if (up) for (const listening of this.#listening) this.#subscribe(listening);
      if (up && this.#lost) for (const on of this.#onReturn) on();
      this.#lost = !up;
    });
  }

  tell(name: string, value: unknown): void {
    if (!this.#link.up) return;
    try {
      this.#link.connection.publish(tellSubject(name), encodeSignal(value));
    } catch (error) {
      this.#log.error({ err: error, signal: name }, 'a signal could not be sent');
    }
  }

  hear(name: string, on: (value: unknown) => void): () => void {
    return this.#listen(tellSubject(name), on);
  }

  ask(name: string, question: unknown, waitMs: number, on: (answer: unknown) => boolean): Promise<void> {
    if (!this.#link.up) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { replies, connection } = this.#link;
    const token = replies.open((message) => {
      const answer = decodeSignal(message.data);
      try {
        if (statusOf(rawBlock(message)) === noResponders || (answer !== undefined && on(answer[0]))) end();
      } catch (error) {
        end(error);
      }
    });
    const end = (error?: unknown) => {
      clearTimeout(timer);
      replies.close(token);
      if (error === undefined) resolve();
      else reject(error);
    };
    const timer = setTimeout(() => end(), waitMs);
    try {
      connection.publish(askSubject(name), encodeSignal(question), { reply: replies.subject(token) });
    } catch (error) {
      end(error);
    }
    return promise;
  }

  answer(name: string, on: (question: unknown) => unknown): () => void {
    return this.#listen(askSubject(name), async (question, message) => {
      const answer = await on(question);
      if (answer !== undefined && this.#link.up) message.respond(encodeSignal(answer));
    });
  }

  onReturn(on: () => void): () => void {
    this.#onReturn.add(on);
    return () => this.#onReturn.delete(on);
  }

  #listen(subject: string, on: (value: unknown, message: Msg) => unknown): () => void {
    const listening: Listening = {
      subject,
      subscription: undefined,
      on: (value, message) => void this.#hand(subject, () => on(value, message)),
    };
    this.#listening.add(listening);
    if (this.#link.up) this.#subscribe(listening);
    return () => {
      this.#listening.delete(listening);
      listening.subscription?.unsubscribe();
    };
  }

  #subscribe(listening: Listening): void {
    listening.subscription ??= this.#link.connection.subscribe(listening.subject, {
      callback: (error, message) => {
        const signal = error === null ? decodeSignal(message.data) : undefined;
        if (signal !== undefined) listening.on(signal[0], message);
      },
    });
  }

  /** What others send must not take the connection down, whatever the code that hears it makes of it. */
  async #hand(subject: string, run: () => unknown): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#log.error({ err: error, subject }, 'a signal was not understood');
    }
  }
}
