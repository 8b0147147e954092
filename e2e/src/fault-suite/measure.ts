import { Random } from '@pushfleet/contract/simulation';
import type { Topic, TopicFilter } from '@pushfleet/core';
import { matches } from '@pushfleet/core';
import type { Load as Publication } from '../load.ts';
import { again, type Client, disordered, identity, type Outcome, play, type Site } from '../trial.ts';
import { check, type Disruption } from '../webhook-check.ts';
import type { FaultCase, Load } from './cases.ts';
import type { Ground } from './ground.ts';
import { HookClient } from './hook-client.ts';

/** What a fault did, as clients and publishers saw it. */
export interface Measured {
  /** For how long the fault lasted. */
  readonly lastedMs: number;
  /** From the beginning of recovery; undefined where it never came to its end. */
  readonly recoveryMs: number | undefined;
  readonly acknowledged: number;
  /** To all clients together, each once. */
  readonly deliveries: number;
  readonly lost: number;
  /** Deliveries that came again. */
  readonly duplicated: number;
  /** By kind of client, connections that were lost. */
  readonly cuts: ReadonlyMap<string, number>;
  /** Attempts to connect that failed. */
  readonly failures: number;
  /** Streams of publishers that broke, and drafts that were refused, by code. */
  readonly breaks: number;
  readonly refusals: ReadonlyMap<string, number>;
  /** The longest time that a publisher had no acknowledgement. */
  readonly waitMs: number;
  readonly gaps: number;
  /** Promises that were broken, a line for each; empty where all were kept. */
  readonly broken: readonly string[];
}

/** So little that a machine with two cores, which is the whole fleet, catches up at once: what is measured is the fault. */
const usualLoad: Load = { publications: 160, publishers: 4, clients: 20, rate: 60 };

/** How long before a disruption a delivery may be accepted without that being on record; see webhook-faults.ts. */
const windowMs = 5_000;
/** More than a worker makes while it is cut off. */
const attemptsAtMost = 10;
const never = 'when everybody was waited for, somebody had not caught up or no publish was acknowledged';

/** The times and choices of a case, whatever is played before it. */
function randomOf(seed: number, { where, what }: Pick<FaultCase, 'where' | 'what'>): Random {
  let mixed = seed;
  for (const character of `${where}: ${what}`) mixed = Math.imul(mixed, 31) + character.charCodeAt(0);
  return new Random(mixed);
}

/** Plays a fault under load. @throws Error where it cannot be played, or the trial does not come to an end */
export async function measure<S extends Site>(
  ground: Ground<S>,
  fault: FaultCase<S>,
  seed: number,
): Promise<Measured> {
  const { fleet, disks } = ground;
  const random = randomOf(seed, fault);
  await ground.settled();
  const hooks = [
    await HookClient.open(ground, 'load/a/#', false),
    await HookClient.open(ground, 'load/+/0', true),
  ];
  let began = 0;
  let ended = 0;
  try {
    const outcome = await play(fleet, {
      ...usualLoad,
      ...fault.load,
      others: hooks,
      disturb: async (_fleet, over) => {
        await new Promise((resolve) => setTimeout(resolve, random.below(1_000)));
        began = performance.now();
        await fault.play({ fleet, random, disks, over });
        ended = performance.now();
      },
    });
    const disruption = { what: fault.what, from: began, to: ended + (outcome.recoveryMs ?? 0) };
    // What lies between a worker and a receiver may swallow the answer to each attempt; else one more explains itself.
    const times = fault.where === 'worker–endpoint' ? attemptsAtMost : 1;
    const disruptions = Array.from({ length: times }, () => ({ ...disruption }));
    return { ...judge(outcome, hooks, disruptions), lastedMs: ended - began };
  } finally {
    for (const hook of hooks) await hook.close().catch(() => {});
  }
}

/** What the outcome of a trial says of what everybody was promised. */
export function judge(
  outcome: Outcome,
  hooks: readonly HookClient[],
  disruptions: readonly Disruption[],
): Omit<Measured, 'lastedMs'> {
  const { run, acknowledged, clients, publishers, lost, recoveryMs } = outcome;
  const doubled = clients.flatMap((client) =>
    client instanceof HookClient || client.pulls ? [] : tooOften(client, run),
  );
  const troubles = clients.flatMap(({ name, troubles }) => troubles.map((text) => `${name}: ${text}`));
  const order = clients.flatMap((client) => disordered(client, run));
  return {
    recoveryMs,
    acknowledged: acknowledged.length,
    deliveries: sum(clients.map((client) => owed(client, acknowledged).length)),
    lost: lost.length,
    duplicated: sum(clients.map((client) => again(client, run))),
    cuts: cutsOf(clients),
    failures: sum(clients.map(({ failures }) => failures)),
    breaks: sum(publishers.map(({ breaks }) => breaks)),
    refusals: count(publishers.flatMap(({ refused }) => refused.map((text) => text.split(':')[0] as string))),
    waitMs: Math.max(...publishers.map(({ longestWaitMs }) => longestWaitMs)),
    gaps: troubles.filter((text) => text.includes(': gap ')).length,
    broken: [
      ...few('lost', lost),
      ...few('trouble', troubles),
      ...few('out of order', order),
      ...few('doubled', doubled),
      ...few(
        'not asked for',
        clients.flatMap((client) => strayed(client, run)),
      ),
      // Whoever recovers after the patience of the trial has lost nothing, and was without service for all of it.
      ...(recoveryMs === undefined ? few('never made good', [never]) : []),
      ...hookFindings(hooks, acknowledged, disruptions),
    ],
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

const few = (what: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`${what}: ${lines.length}`, ...lines.slice(0, 5)];

function count(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

const cutsOf = (clients: readonly Client[]): Map<string, number> =>
  count(clients.flatMap(({ name, cuts }) => Array.from({ length: cuts }, () => name)));

const isWanted = (filters: readonly string[], { topic }: Publication): boolean =>
  filters.some((filter) => matches(filter as TopicFilter, topic as Topic));

const owed = ({ filters }: Client, acknowledged: readonly Publication[]): readonly Publication[] =>
  acknowledged.filter((one) => isWanted(filters, one));

/** What came more often than a client's cuts explain: a resume may bring each publication once more. */
function tooOften({ name, filters, received, cuts }: Client, run: string): string[] {
  const times = count(received.filter((load) => load.run === run).map(identity));
  return [...times].flatMap(([publication, often]) =>
    often <= 1 + cuts
      ? []
      : [`${name} on ${filters} was cut ${cuts} times, and given ${publication} ${often} times`],
  );
}

/** What came to a client whose filters do not match it. */
function strayed({ name, filters, received }: Client, run: string): string[] {
  return received
    .filter((load) => load.run === run && !isWanted(filters, load))
    .map(({ publisher, number, topic }) => `${name} on ${filters}: ${publisher}-${number} on ${topic}`);
}

/** What webhooks were promised beside what everybody was; their order is looked at with that of the others. */
function hookFindings(
  hooks: readonly HookClient[],
  acknowledged: readonly Publication[],
  disruptions: readonly Disruption[],
): string[] {
  const endpoints = hooks.map((hook) => ({
    ...{ endpoint: hook.endpoint, ordered: false, concurrency: 1 },
    owed: owed(hook, acknowledged).map((one) => ({ body: JSON.stringify(one), shard: 0 })),
  }));
  const receipts = hooks.flatMap((hook) => hook.receipts);
  const found = check({ receipts, endpoints, disruptions, windowMs });
  return Object.entries(found).flatMap(([promise, lines]) => few(`webhook, ${promise}`, lines));
}
