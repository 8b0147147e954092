import { readFileSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Namespace, Topic, TopicFilter } from '@pushfleet/core';
import { ConfigError } from './config.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Part } from './part.ts';
import {
  type Feed,
  PolicyError,
  type PolicyFile,
  parsePolicies,
  policyFileBytes,
  type Quota,
} from './policy-file.ts';
import { PolicyTable, type TopicPolicy } from './policy-table.ts';

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

const everyMs = 1_000;

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
  readonly #file: string | undefined;
  readonly #log: Log;
  readonly #reloads: { add(count: number, attributes: { outcome: 'changed' | 'refused' }): void } | undefined;
  #table = new PolicyTable({ topics: [], quotas: [], feeds: [] });
  /** What was found last, and what was judged last: a text, or why there is none. */
  #found = '';
  #judged = '';
  #interval: NodeJS.Timeout | undefined;
  #reading = false;
  readonly #listeners: (() => void)[] = [];

  constructor({ file, log, metrics }: PoliciesOptions) {
    this.#file = file;
    this.#log = log;
    this.#reloads = metrics?.counter('pushfleet_policies_reloads', {
      description: 'Changed files of policies, by outcome.',
    });
    if (file !== undefined) this.#begin(file);
  }

  #begin(file: string): void {
    try {
      checkFile(statSync(file));
      this.#judged = textOf(readFileSync(file));
      this.#use(parsePolicies(this.#judged));
    } catch (error) {
      throw new ConfigError(
        problemsOf(error).map((problem) => `PUSHFLEET_POLICIES_FILE=${JSON.stringify(file)}: ${problem}`),
      );
    }
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
    const file = this.#file;
    if (file !== undefined) this.#interval = setInterval(() => void this.#look(file), everyMs).unref();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    clearInterval(this.#interval);
  }

  // The path is opened anew each time, so that a ConfigMap's exchanged symlinks are followed; the whole text is
  // compared, since neither times nor inodes tell every change.
  async #look(file: string): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    const found = await readText(file).catch((error: unknown) => problemsOf(error));
    this.#reading = false;
    const seen = String(found);
    // What is half written now is another text the next time.
    const settled = seen === this.#found;
    this.#found = seen;
    if (!settled || seen === this.#judged) return;
    this.#judged = seen;
    this.#judge(file, found);
  }

  #judge(file: string, found: string | readonly string[]): void {
    try {
      if (typeof found !== 'string') throw new PolicyError(found);
      this.#use(parsePolicies(found));
      this.#reloads?.add(1, { outcome: 'changed' });
    } catch (error) {
      this.#reloads?.add(1, { outcome: 'refused' });
      this.#log.error({ file, problems: problemsOf(error) }, 'the new policies are wrong; the old ones stay');
    }
  }
}

async function readText(file: string): Promise<string> {
  const handle = await open(file);
  try {
    checkFile(await handle.stat());
    return textOf(await handle.readFile());
  } finally {
    await handle.close();
  }
}

/** @throws PolicyError */
function checkFile(stats: Stats): void {
  if (!stats.isFile()) throw new PolicyError(['It is not a file.']);
  if (stats.size <= policyFileBytes) return;
  throw new PolicyError([`The file has ${stats.size} bytes; at most ${policyFileBytes} are read.`]);
}

/** @throws PolicyError */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new PolicyError(['It is not UTF-8.']);
  }
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof PolicyError) return error.problems;
  const { code, message } = error as NodeJS.ErrnoException;
  return [code === undefined ? message : `It cannot be read (${code}).`];
}
