import type { Namespace, Topic, TopicFilter } from '@pushfleet/core';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Part } from './part.ts';
import { type Feed, type PolicyFile, parsePolicies, policyFileBytes, type Quota } from './policy-file.ts';
import { PolicyTable, type TopicPolicy } from './policy-table.ts';
import { WatchedFile } from './watched-file.ts';

export type { Feed, Quota } from './policy-file.ts';
export type { TopicPolicy } from './policy-table.ts';

/** The operator's rules for topics and namespaces, as they are now. */
export interface Policies extends Part {
  /** What holds for a topic: the same object until the policies change. */
  of(namespace: Namespace, topic: Topic): TopicPolicy;
  /** In which namespace strangers, who have no token, find a topic; undefined where it is not public. */
  publicIn(topic: Topic): Namespace | undefined;
  /** Namespaces in which something is public. */
  publicNamespaces(): Iterable<Namespace>;
  /** The feed that is declared by this URL, in exactly these characters. */
  feedAt(url: string): Feed | undefined;
  /** Calls `on` after the policies have changed. */
  onChange(on: () => void): void;
  /** What a namespace may use, over all instances. */
  quota(namespace: Namespace): Quota;
  /** Whether some namespace may store only so much. */
  readonly limitsStorage: boolean;
  /**
   * The shortest time that something is kept which the filter matches, in milliseconds: the least of all policies
   * that can be the first to match one of its topics. Undefined where none shortens it; a topic without history
   * promises nothing of its past and does not count.
   */
  retentionMs(namespace: Namespace, filter: TopicFilter): number | undefined;
}

export interface PoliciesOptions {
  /** Without a file nothing is limited. */
  readonly file: string | undefined;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, 'counter'>;
}

/**
 * Reads the policies, and again whenever the file has changed.
 *
 * @throws ConfigError where the file is wrong; it names every entry and the rule it breaks
 */
export function createPolicies(options: PoliciesOptions): Policies {
  return new Watched(options);
}

class Watched implements Policies {
  readonly name = 'policies';
  readonly #log: Log;
  readonly #file: WatchedFile | undefined;
  #table = new PolicyTable({ topics: [], quotas: [], feeds: [] });
  readonly #listeners: (() => void)[] = [];

  constructor({ file, log, metrics }: PoliciesOptions) {
    this.#log = log;
    const reloads = metrics?.counter('pushfleet_policies_reloads', {
      description: 'Changed files of policies, by outcome.',
    });
    if (file === undefined) return;
    this.#file = new WatchedFile({
      ...{ file, env: 'PUSHFLEET_POLICIES_FILE', bytes: policyFileBytes },
      use: (text) => this.#use(parsePolicies(text)),
      onChanged: (outcome, problems) => {
        reloads?.add(1, { outcome });
        if (outcome === 'refused')
          log.error({ file, problems }, 'the new policies are wrong; the old ones stay');
      },
    });
  }

  #use(policies: PolicyFile): void {
    this.#table = new PolicyTable(policies);
    const { topics, quotas, feeds } = policies;
    this.#log.info(
      { topics: topics.length, quotas: quotas.length, feeds: feeds.length },
      'the policies were read',
    );
    for (const on of this.#listeners) on();
  }

  of(namespace: Namespace, topic: Topic): TopicPolicy {
    return this.#table.of(namespace, topic);
  }

  publicIn(topic: Topic): Namespace | undefined {
    return this.#table.publicIn(topic);
  }

  publicNamespaces(): Iterable<Namespace> {
    return this.#table.publicNamespaces;
  }

  feedAt(url: string): Feed | undefined {
    return this.#table.feedAt(url);
  }

  onChange(on: () => void): void {
    this.#listeners.push(on);
  }

  quota(namespace: Namespace): Quota {
    return this.#table.quota(namespace);
  }

  get limitsStorage(): boolean {
    return this.#table.limitsStorage;
  }

  retentionMs(namespace: Namespace, filter: TopicFilter): number | undefined {
    return this.#table.retentionMs(namespace, filter);
  }

  async start(): Promise<void> {
    this.#file?.start();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.#file?.close();
  }
}
