import type { Lent, Namespace, Share } from '@pushfleet/core';
import { type GroupTerms, groupTerms } from '../group-rules.ts';
import type { Broker } from './broker.ts';
import { GroupShare } from './group-share.ts';
import type { Log } from './log.ts';
import { verdicts } from './queue-entry.ts';

const tickMs = 500;

/** This process's part in the groups of all namespaces. */
export class GroupShares {
  readonly terms: GroupTerms;
  readonly #broker: Broker;
  readonly #log: Log;
  readonly #shares = new Set<GroupShare>();
  /** What members said while the connection was away. */
  readonly #unsaid: [reply: string, verdict: string, until: number][] = [];
  /** Done, as the broker was told; the connection may be gone before that is noticed. */
  #told: string[] = [];
  /** Of these it is asked whether they arrived. */
  #asked: string[] = [];
  #wheel: NodeJS.Timeout | undefined;

  constructor(broker: Broker, log: Log, terms: Partial<GroupTerms> = {}) {
    this.#broker = broker;
    this.#log = log;
    this.terms = { ...groupTerms, ...terms };
    broker.bulk.watch((up) => {
      if (up) this.#resume();
    });
    broker.closing.addEventListener('abort', () => this.#close(), { once: true });
  }

  share(namespace: Namespace, group: string, on: (lent: Lent) => void, onGone: () => void): Share {
    const share = new GroupShare({
      ...{ broker: this.#broker, log: this.#log, namespace, group, leaseMs: this.terms.leaseMs, on },
      answer: (reply, verdict, until) => this.#answer(reply, verdict, until),
      onGone: () => {
        this.#shares.delete(share);
        onGone();
      },
    });
    this.#shares.add(share);
    this.#wheel ??= setInterval(() => this.#tick(), tickMs).unref();
    return {
      want: (count) => share.want(count),
      stop: () => {
        this.#shares.delete(share);
        share.stop();
      },
    };
  }

  /** Said at once, or when the connection is back: what its answers tell the broker would be lost with it. */
  #answer(reply: string, verdict: string, until = Number.POSITIVE_INFINITY): void {
    const { bulk, closing } = this.#broker;
    if (closing.aborted) return;
    if (bulk.up) {
      bulk.connection.publish(reply, verdict);
      if (verdict === verdicts.done) this.#told.push(reply);
    } else this.#unsaid.push([reply, verdict, until]);
  }

  #resume(): void {
    const now = Date.now();
    // Twice done is done; what is given back twice might be in other hands by then.
    const perhaps = [...this.#asked, ...this.#told];
    this.#asked = [];
    this.#told = [];
    for (const reply of perhaps) this.#answer(reply, verdicts.done);
    for (const [reply, verdict, until] of this.#unsaid.splice(0)) {
      if (until > now) this.#answer(reply, verdict, until);
    }
    for (const share of this.#shares) share.returned();
  }

  #tick(): void {
    const now = Date.now();
    for (const share of this.#shares) share.tick(now);
    this.#confirm();
    if (this.#shares.size > 0 || this.#told.length > 0) return;
    clearInterval(this.#wheel);
    this.#wheel = undefined;
  }

  /** The broker answers in the order in which it was told. */
  #confirm(): void {
    const { bulk } = this.#broker;
    if (!bulk.up || this.#asked.length > 0 || this.#told.length === 0) return;
    const asked = this.#told;
    this.#told = [];
    this.#asked = asked;
    const confirmed = () => {
      if (this.#asked === asked) this.#asked = [];
    };
    bulk.connection.flush().then(confirmed, () => {
      // The connection is lost, and they are told again when it is back.
    });
  }

  /** As the end of the process: what is in hand goes to others when its lease ends. */
  #close(): void {
    clearInterval(this.#wheel);
    this.#shares.clear();
  }
}
