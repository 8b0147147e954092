import type { Namespace } from '@pushfleet/core';

/** What a namespace uses of one instance, or of several together. */
export interface Usage {
  /** Live connections. */
  readonly connections: number;
  /** Filters that live connections hold. */
  readonly subscriptions: number;
  /** Publications a second that were lately asked for, up to what the namespace may have. */
  readonly published: number;
}

/** One process of the fleet. */
export interface Instance {
  /** Its name, another one after each start. */
  readonly instance: string;
  readonly service: string;
  /** What its subscribers speak, such as `sse`; absent where it has none. */
  readonly protocol?: string;
}

/** What an instance tells once a second, in as many parts as it needs. */
export interface Sign extends Instance {
  /** The questions it answers. */
  readonly answers: readonly string[];
  readonly part: number;
  readonly parts: number;
  readonly usage: ReadonlyMap<Namespace, Usage>;
}

/** What an instance answers to a question; `answered` is false where it has nothing to say. */
export interface Answer {
  readonly from: Instance;
  readonly answered: boolean;
  readonly answer: unknown;
}

export const nothing: Usage = Object.freeze({ connections: 0, subscriptions: 0, published: 0 });

/** Namespaces in one part: with the longest names and numbers it stays under the 64 KiB of a signal. */
const namespacesPerPart = 400;
/** An instance with more namespaces than these parts hold does not tell of the rest. */
const mostParts = 25;
const mostAnswers = 32;
const most = 1e12;

const name = /^[A-Za-z0-9_.-]{1,80}$/;
const isName = (value: unknown): value is string => typeof value === 'string' && name.test(value);
const isAmount = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= most;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The parts in which an instance tells of itself, as JSON values. A namespace that uses nothing is left out. */
export function writeSigns(
  self: Instance,
  answers: readonly string[],
  usage: Iterable<readonly [Namespace, Usage]>,
): readonly object[] {
  const used = Array.from(usage, ([namespace, of]) => [namespace, figures(of)] as const)
    .filter(([, of]) => of.some((figure) => figure > 0))
    .slice(0, namespacesPerPart * mostParts);
  const parts = Math.max(1, Math.ceil(used.length / namespacesPerPart));
  return Array.from({ length: parts }, (_, part) => ({
    ...self,
    answers,
    part,
    parts,
    usage: Object.fromEntries(used.slice(part * namespacesPerPart, (part + 1) * namespacesPerPart)),
  }));
}

/** Without their names: there may be a thousand of them every second. */
const figures = ({ connections, subscriptions, published }: Usage): readonly [number, number, number] => [
  connections,
  subscriptions,
  Math.ceil(published * 10) / 10,
];

/** An instance's last word. */
export const writeGoodbye = ({ instance }: Instance): object => ({ instance, gone: true });

/** What another instance told, the name of one that has gone, or undefined where it cannot be understood. */
export function readSign(value: unknown): Sign | { readonly gone: string } | undefined {
  const self = readInstance(value);
  if (!isObject(value)) return undefined;
  if (value.gone === true && isName(value.instance)) return { gone: value.instance };
  const { answers, part, parts } = value;
  if (self === undefined || !Array.isArray(answers) || answers.length > mostAnswers) return undefined;
  if (!answers.every(isName) || !isPart(part, parts)) return undefined;
  const usage = readUsage(value.usage);
  return usage && { ...self, answers, part: part as number, parts: parts as number, usage };
}

const isPart = (part: unknown, parts: unknown): boolean =>
  Number.isInteger(part) &&
  Number.isInteger(parts) &&
  (part as number) >= 0 &&
  (part as number) < (parts as number) &&
  (parts as number) <= mostParts;

function readInstance(value: unknown): Instance | undefined {
  if (!isObject(value)) return undefined;
  const { instance, service, protocol } = value;
  if (!isName(instance) || !isName(service)) return undefined;
  if (protocol === undefined) return { instance, service };
  return isName(protocol) ? { instance, service, protocol } : undefined;
}

function readUsage(value: unknown): ReadonlyMap<Namespace, Usage> | undefined {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value);
  if (entries.length > namespacesPerPart) return undefined;
  const usage = new Map<Namespace, Usage>();
  for (const [namespace, of] of entries) {
    if (!isName(namespace) || !Array.isArray(of)) return undefined;
    const [connections, subscriptions, published] = of as readonly unknown[];
    if (!isAmount(connections) || !isAmount(subscriptions) || !isAmount(published)) return undefined;
    usage.set(namespace as Namespace, { connections, subscriptions, published });
  }
  return usage;
}

/** An answer as a JSON value; undefined says nothing, and that it will say nothing. */
export const writeAnswer = (from: Instance, answer: unknown): object => ({ from, answer });

export function readAnswer(value: unknown): Answer | undefined {
  if (!isObject(value)) return undefined;
  const from = readInstance(value.from);
  return from && { from, answered: value.answer !== undefined, answer: value.answer };
}
