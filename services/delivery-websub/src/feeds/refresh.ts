import type { Ledger } from '@pushfleet/bus';
import { PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { judge, type Patiently, shortHash } from '@pushfleet/delivery';
import type { Intake } from '@pushfleet/intake';
import type { Caller } from '@pushfleet/outbound';
import { createGrant, type Feed, type Grant, type Policies } from '@pushfleet/runtime';
import { type Content, contentOf, decodeKnown, encodeKnown, fetchHeaders, type Known } from './content.ts';
import { Failure } from './failure.ts';

export interface RefreshOptions {
  /** `feeds`: what was published last of each. */
  readonly ledger: Ledger;
  readonly policies: Pick<Policies, 'feedAt'>;
  readonly caller: Pick<Caller, 'call'>;
  readonly intake: Pick<Intake, 'publish'>;
  /** A fetch takes no longer, in milliseconds. */
  readonly timeoutMs: number;
  /** Largest content that is published. */
  readonly bytes: number;
}

export interface RefreshTools extends RefreshOptions {
  readonly patiently: Patiently;
}

/** A feed that was not fetched for so long is published again when it is next announced, in milliseconds. */
const ttlMs = 366 * 86_400_000;

/**
 * Brings what is published of a feed up to date with what it is. Made again after a failure it publishes nothing twice,
 * and of two at once the one that began with less knowledge gives way: what is about to be published is claimed in the
 * ledger first, by compare-and-set.
 */
export class Refresh {
  readonly #o: RefreshTools;

  constructor(options: RefreshTools) {
    this.#o = options;
  }

  /** @throws Failure, CallError, PushfleetError; Stopped */
  async run(url: string): Promise<'published' | 'unchanged'> {
    const feed = this.#declared(url);
    const key = knownKey(feed);
    const held = await this.#o.ledger.get(key);
    const known = held && decodeKnown(held.value);
    const fetched = await this.#fetch(url, known?.pending ? undefined : known);
    if (knownKey(this.#declared(url)) !== key) throw new Failure('It was declared anew meanwhile.');
    const revision = held?.revision ?? 0;
    if (known?.pending === false && (fetched === undefined || fetched.digest === known.digest)) {
      // Also where nothing has changed: what somebody else has fetched before this is not published behind it.
      await this.#put(key, { ...(fetched ?? known), pending: false }, revision);
      return 'unchanged';
    }
    const content = fetched as Content;
    const isClaimed = known?.digest === content.digest;
    const claim = isClaimed ? revision : await this.#put(key, { ...content, pending: true }, revision);
    await this.#publish(feed, content, claim);
    return 'published';
  }

  #declared(url: string): Feed {
    const feed = this.#o.policies.feedAt(url);
    if (feed !== undefined) return feed;
    // The instance that took the notice may know newer policies.
    throw new Failure('No policy declares this feed.');
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

  /** @param claim the revision by which it was claimed: each attempt to publish this has the same, so it is stored once */
  async #publish(feed: Feed, content: Content, claim: number): Promise<void> {
    const { topic, url } = feed;
    const { type, body, digest } = content;
    const id = `feed_${shortHash(`${url}\0${digest}\0${claim}`)}`;
    const submission = { id, topic, source: url, contentType: type, payload: body };
    const [answer] = await this.#o.intake.publish(grantFor(feed), [submission]);
    if (answer instanceof PushfleetError) throw answer;
    await this.#confirm(knownKey(feed), { ...content, pending: false }, claim);
  }

  async #confirm(key: string, known: Known, claim: number): Promise<void> {
    const { patiently, ledger } = this.#o;
    try {
      await patiently('what was published of a feed', () => this.#put(key, known, claim));
    } catch (error) {
      if (!(error instanceof PushfleetError) || error.code !== 'conflict') throw error;
      const held = await patiently('what is known of a feed', () => ledger.get(key));
      if (held && isConfirmed(decodeKnown(held.value), known)) return;
      // Somebody else claimed it meanwhile, and may have published something newer before this: the next fetch publishes
      // what there is, whatever is known.
      await patiently('that a feed was overtaken', () => ledger.delete(key));
      throw error;
    }
  }

  #put(key: string, known: Known, ifRevision: number): Promise<number> {
    return this.#o.ledger.put(key, encodeKnown(known), { ifRevision, ttlMs });
  }
}

/** What is known holds for the topic to which it was published: a feed may be declared for another one day. */
const knownKey = ({ url, namespace, topic }: Feed): string => shortHash(`${url}\0${namespace}\0${topic}`);

/** An answer that was lost, or another instance that did the same. */
const isConfirmed = (held: Known, { digest }: Known): boolean => held.digest === digest && !held.pending;

/** The operator's declaration is the right to publish. */
const grantFor = ({ namespace, topic }: Feed): Grant =>
  createGrant(
    { ...{ namespace, subject: 'websub:feeds', tokenDigest: '' }, expiresAt: Number.POSITIVE_INFINITY },
    { publish: [parseTopicFilter(topic)], subscribe: [], presence: [], manage: [] },
  );
