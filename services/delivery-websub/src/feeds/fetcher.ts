import type { Ledger, Queue, Taken } from '@pushfleet/bus';
import { meanings, PushfleetError, parseTopicFilter } from '@pushfleet/core';
import {
  createPatience,
  type Holding,
  judge,
  type Patiently,
  retryDelay,
  Shares,
  Stopped,
  shortHash,
} from '@pushfleet/delivery';
import type { Intake } from '@pushfleet/intake';
import { CallError, type Caller } from '@pushfleet/outbound';
import {
  createGrant,
  type Feed,
  type Fleet,
  type Grant,
  type Log,
  type Metrics,
  type Part,
  type Policies,
} from '@pushfleet/runtime';
import { type Content, contentOf, fetchHeaders, type Known } from './content.ts';
import { type Due, decodeDue, feedKey, feedSlots, fetchAt } from './notices.ts';

export interface FetcherOptions {
  /** `feeds` */
  readonly queue: Queue;
  /** `feeds`: what was published last of each. */
  readonly ledger: Ledger;
  readonly fleet: Pick<Fleet, 'instance' | 'instances'>;
  /** The name of the service, as the fleet knows it. */
  readonly service: string;
  readonly policies: Pick<Policies, 'feedAt'>;
  readonly caller: Pick<Caller, 'call'>;
  readonly intake: Pick<Intake, 'publish'>;
  /** How long after each failed attempt the next is made, in milliseconds. */
  readonly retryMs: readonly number[];
  /** A fetch takes no longer, in milliseconds. */
  readonly timeoutMs: number;
  /** Largest content that is published. */
  readonly bytes: number;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'total'>;
}

/** Terms of entries in hand are extended as often, in milliseconds. */
const extendMs = 3_000;
/** A feed of which nothing was published for so long is published again when it is next announced, in milliseconds. */
const knownMs = 366 * 86_400_000;

/** Why a feed was not fetched, or not published. */
class Failure extends Error {
  readonly retryAfterMs: number | undefined;
  /** The next attempt would fail as well. */
  readonly final: boolean;

  constructor(
    message: string,
    {
      retryAfterMs,
      final = false,
      cause,
    }: { retryAfterMs?: number | undefined; final?: boolean; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.retryAfterMs = retryAfterMs;
    this.final = final;
  }
}

/**
 * Fetches feeds that are due and publishes what is new in them. One fetch of a feed at a time; what is due is on
 * record until it was published, or given up, so a fetch outlives its instance.
 */
export class Fetcher implements Part {
  readonly name = 'feeds';
  readonly #o: FetcherOptions;
  readonly #shares: Shares;
  readonly #closing = new AbortController();
  readonly #patiently: Patiently;
  readonly #outcomes = { published: 0, unchanged: 0, failed: 0, given_up: 0 };

  constructor(options: FetcherOptions) {
    const { fleet, service, log, metrics } = options;
    this.#o = options;
    this.#patiently = createPatience(this.#closing.signal, log);
    this.#shares = new Shares(fleet, service, feedSlots, (slot) => this.#hold(slot));
    metrics.total(
      'pushfleet_websub_fetches',
      { description: 'Fetches of feeds, by what came of them.' },
      () => Object.entries(this.#outcomes).map(([outcome, count]) => [count, { outcome }] as const),
    );
  }

  async start(): Promise<void> {
    this.#shares.start();
  }

  /** Slots pass on to others; a fetch under way is waited for. */
  async drain(): Promise<void> {
    await this.#shares.stop();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#shares.stop();
  }

  #hold(slot: number): Holding {
    let working = Promise.resolve();
    let stopping = false;
    const take = (taken: Taken): void => {
      if (stopping) taken.back();
      else working = this.#work(taken);
    };
    // One in hand at a time: an older fetch of a feed never publishes behind a newer one.
    const owning = this.#patiently('a slot', () => this.#o.queue.own(slot, 1, take)).catch(unlessStopped);
    return {
      stop: async () => {
        stopping = true;
        await working;
        await (await owning)?.stop();
      },
    };
  }

  /** Never rejects. */
  async #work(taken: Taken): Promise<void> {
    const extending = setInterval(() => taken.extend(), extendMs);
    try {
      await this.#attempt(decodeDue(taken.body));
      taken.done();
    } catch (error) {
      if (!(error instanceof Stopped))
        this.#o.log.error({ err: error }, 'a feed that is due could not be worked on');
      if (error instanceof SyntaxError) taken.done();
      else taken.back();
    } finally {
      clearInterval(extending);
    }
  }

  /** Settles once the feed is published, unchanged, given up, or due again. */
  async #attempt({ url, attempts }: Due): Promise<void> {
    try {
      this.#outcomes[await this.#refresh(url)]++;
    } catch (thrown) {
      const { message, final, retryAfterMs, cause } = failureOf(thrown);
      if (cause !== undefined) this.#o.log.error({ err: cause, feed: url }, 'a fetch failed in here');
      const delay = final ? undefined : retryDelay(this.#o.retryMs, attempts + 1, retryAfterMs);
      const fields = { feed: url, attempts: attempts + 1, reason: message };
      if (delay === undefined) {
        this.#outcomes.given_up++;
        this.#o.log.warn(fields, 'a feed is not fetched until it is announced again');
        return;
      }
      this.#outcomes.failed++;
      this.#o.log.info({ ...fields, againInMs: delay }, 'a feed could not be published; once more later');
      const again = { url, attempts: attempts + 1 };
      await this.#patiently('a feed that is due', () => fetchAt(this.#o.queue, again, Date.now() + delay));
    }
  }

  /** @throws Failure, CallError, PushfleetError */
  async #refresh(url: string): Promise<'published' | 'unchanged'> {
    const feed = this.#o.policies.feedAt(url);
    // The instance that took the notice may know newer policies.
    if (feed === undefined) throw new Failure('No policy declares this feed.');
    const key = feedKey(url);
    const held = await this.#o.ledger.get(key);
    const known = held && (JSON.parse(Buffer.from(held.value).toString()) as Known);
    const content = await this.#fetch(url, known);
    if (content === undefined) return 'unchanged';
    const { digest, etag, modified } = content;
    const ifRevision = held?.revision ?? 0;
    const isNew = digest !== known?.digest;
    if (isNew) await this.#publish(feed, content, `feed_${shortHash(`${url}\0${digest}\0${ifRevision}`)}`);
    const value = Buffer.from(JSON.stringify({ digest, etag, modified } satisfies Known));
    await this.#o.ledger.put(key, value, { ifRevision, ttlMs: knownMs });
    return isNew ? 'published' : 'unchanged';
  }

  /** Undefined: what is known is still what there is. */
  async #fetch(url: string, known: Known | undefined): Promise<Content | undefined> {
    const { caller, timeoutMs, bytes } = this.#o;
    const headers = { 'user-agent': 'Pushfleet-WebSub/1.0', ...fetchHeaders(known) };
    const answer = await caller.call({ url, method: 'GET', headers, timeoutMs, answerBytes: bytes });
    if (answer.status === 304 && known !== undefined) return undefined;
    if (answer.status !== 200) {
      const { retryAfterMs } = judge(answer, Date.now());
      throw new Failure(`It answered ${answer.status}; the feed itself has to answer 200.`, { retryAfterMs });
    }
    const content = contentOf(answer, bytes);
    if (typeof content === 'string') throw new Failure(content, { final: true });
    return content;
  }

  /** @param id the same at each attempt to publish this, so that it is stored once */
  async #publish({ namespace, topic, url }: Feed, { type, body }: Content, id: string): Promise<void> {
    const submission = { id, topic, source: url, contentType: type, payload: body };
    const [answer] = await this.#o.intake.publish(grantFor({ namespace, topic }), [submission]);
    if (answer instanceof PushfleetError) throw answer;
  }
}

/** The operator's declaration is the right to publish. */
const grantFor = ({ namespace, topic }: Pick<Feed, 'namespace' | 'topic'>): Grant =>
  createGrant(
    { ...{ namespace, subject: 'websub:feeds', tokenDigest: '' }, expiresAt: Number.POSITIVE_INFINITY },
    { publish: [parseTopicFilter(topic)], subscribe: [], presence: [], manage: [] },
  );

function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof CallError)
    return new Failure(thrown.message, { final: thrown.failure === 'refused' });
  if (!(thrown instanceof PushfleetError)) return new Failure('It failed in here.', { cause: thrown });
  const { code, message, retryAfterMs } = thrown;
  // Who was overtaken by another instance looks again at what there is.
  const final = !meanings[code].retry && code !== 'conflict';
  return new Failure(message, { retryAfterMs, final });
}

function unlessStopped(error: unknown): undefined {
  if (!(error instanceof Stopped)) throw error;
}
