import { matches, type Topic, type TopicFilter } from '@pushfleet/core';

export type Level = 1 | 2;

/** A publication that a client made, or its will. The payload `<publisher> <number>` names it: no two have the same. */
export interface Made {
  readonly publisher: string;
  /** Counts the publisher's publications, over all topics, from 1. */
  readonly number: number;
  readonly topic: string;
  readonly qos: Level;
  /** Owed: it was acknowledged, or is the will of a client that died. Never: the will of one that did not. */
  readonly fate: 'owed' | 'possible' | 'never';
}

export const payloadOf = ({ publisher, number }: Pick<Made, 'publisher' | 'number'>): string =>
  `${publisher} ${number}`;

export interface Arrival {
  readonly topic: string;
  readonly payload: string;
  /** The publication's id, where the client is told. */
  readonly id?: string | undefined;
}

export interface Wanted {
  readonly filter: string;
  readonly qos: Level;
}

/** What a session subscribed to before anything was published, and what its client was given, in order. */
export interface Witness {
  readonly name: string;
  readonly filters: readonly Wanted[];
  readonly arrivals: readonly Arrival[];
}

export interface Observed {
  readonly made: readonly Made[];
  readonly witnesses: readonly Witness[];
}

/** What was promised and not kept, a line for each case; all empty when every promise was kept. */
export interface Findings {
  /** Owed, and not given. */
  readonly lost: readonly string[];
  /** Of QoS 2, and given again to a subscription of QoS 2. */
  readonly doubled: readonly string[];
  /** Of QoS 2, and in the log twice: two ids for one publication. */
  readonly storedTwice: readonly string[];
  /** Given first behind a later one of the same publisher on the same topic. */
  readonly disordered: readonly string[];
  /** Two sessions were given what one topic has in different orders. */
  readonly disagreed: readonly string[];
  /** The will of a client that did not die. */
  readonly unwanted: readonly string[];
  /** Never made, on another topic than it was made for, not subscribed to, or one id for two publications. */
  readonly mixedUp: readonly string[];
}

/** Holds what the sessions were given against what the fleet promises them. */
export function check({ made, witnesses }: Observed): Findings {
  const known = new Map(made.map((one) => [payloadOf(one), one]));
  const each = (find: (view: View) => string[]): string[] => views.flatMap(find);
  const views = witnesses.map((witness) => viewOf(witness, known));
  return {
    lost: each((view) => lost(view, made)),
    doubled: each(doubled),
    storedTwice: storedTwice(views),
    disordered: each(disordered),
    disagreed: disagreed(views),
    unwanted: each(unwanted),
    mixedUp: [...each(mixedUp), ...sameId(views)],
  };
}

/** How often a session was given again what it had, which QoS 1 allows. */
export const countAgain = ({ witnesses }: Pick<Observed, 'witnesses'>): number =>
  witnesses.reduce(
    (sum, { arrivals }) => sum + arrivals.length - new Set(arrivals.map(({ payload }) => payload)).size,
    0,
  );

/** The QoS by which the session is given what is on the topic; 0: it is not subscribed. */
export function grantedOn({ filters }: Pick<Witness, 'filters'>, topic: string): 0 | Level {
  const levels = filters
    .filter(({ filter }) => matches(filter as TopicFilter, topic as Topic))
    .map(({ qos }) => qos);
  return Math.max(0, ...levels) as 0 | Level;
}

interface Known extends Arrival {
  readonly made: Made;
}

interface View {
  readonly witness: Witness;
  readonly granted: (topic: string) => 0 | Level;
  /** What was made as it came, and each the first time alone. */
  readonly known: readonly Known[];
  readonly firsts: readonly Known[];
  readonly unknown: readonly Arrival[];
}

function viewOf(witness: Witness, made: ReadonlyMap<string, Made>): View {
  const levels = new Map<string, 0 | Level>();
  const granted = (topic: string): 0 | Level => {
    const level = levels.get(topic) ?? grantedOn(witness, topic);
    levels.set(topic, level);
    return level;
  };
  const known: Known[] = [];
  const unknown: Arrival[] = [];
  for (const arrival of witness.arrivals) {
    const one = made.get(arrival.payload);
    if (one === undefined || one.topic !== arrival.topic || granted(one.topic) === 0) unknown.push(arrival);
    else known.push({ ...arrival, made: one });
  }
  const seen = new Set<string>();
  const firsts = known.filter(({ payload }) => !seen.has(payload) && seen.add(payload));
  return { witness, granted, known, firsts, unknown };
}

const told = ({ witness }: View, { payload, topic, id }: Arrival, what: string): string =>
  `${witness.name}: ${payload} on ${topic}${id === undefined ? '' : ` (${id})`} ${what}`;

function lost(view: View, made: readonly Made[]): string[] {
  const given = new Set(view.firsts.map(({ payload }) => payload));
  return made
    .filter((one) => one.fate === 'owed' && view.granted(one.topic) > 0 && !given.has(payloadOf(one)))
    .map((one) => `${view.witness.name}: ${payloadOf(one)} on ${one.topic} did not come`);
}

function doubled(view: View): string[] {
  const seen = new Set<string>();
  return view.known.flatMap((arrival) => {
    const { made, payload, id } = arrival;
    if (made.qos < 2 || view.granted(made.topic) < 2) return [];
    const names = [payload, ...(id === undefined ? [] : [`id ${id}`])];
    const again = names.some((name) => seen.has(name));
    for (const name of names) seen.add(name);
    return again ? [told(view, arrival, 'came again')] : [];
  });
}

function storedTwice(views: readonly View[]): string[] {
  const ids = new Map<string, string>();
  const found = new Map<string, string>();
  for (const view of views) {
    for (const arrival of view.known) {
      const { id, payload, made } = arrival;
      if (id === undefined || made.qos < 2) continue;
      const first = ids.get(payload) ?? id;
      ids.set(payload, first);
      if (first !== id) found.set(`${payload} ${id}`, told(view, arrival, `is also ${first}`));
    }
  }
  return [...found.values()];
}

function disordered(view: View): string[] {
  const newest = new Map<string, number>();
  return view.firsts.flatMap((arrival) => {
    const { publisher, number, topic } = arrival.made;
    const lane = `${publisher} ${topic}`;
    const last = newest.get(lane) ?? 0;
    newest.set(lane, Math.max(last, number));
    return number > last ? [] : [told(view, arrival, `came behind ${last}`)];
  });
}

/** What both of two sessions have of a topic stands in one order; the first of those that have it is held against each. */
function disagreed(views: readonly View[]): string[] {
  const places = new Map<string, { readonly name: string; readonly at: Map<string, number> }>();
  return views.flatMap((view) =>
    [...Map.groupBy(view.firsts, ({ topic }) => topic)].flatMap(([topic, arrivals]) => {
      const first = places.get(topic);
      if (first === undefined) {
        const at = new Map(arrivals.map(({ payload }, index) => [payload, index]));
        places.set(topic, { name: view.witness.name, at });
        return [];
      }
      let last = -1;
      return arrivals.flatMap((arrival) => {
        const place = first.at.get(arrival.payload) ?? last;
        if (place < last) return [told(view, arrival, `stands elsewhere for ${first.name}`)];
        last = place;
        return [];
      });
    }),
  );
}

const unwanted = (view: View): string[] =>
  view.known.filter(({ made }) => made.fate === 'never').map((one) => told(view, one, 'was not due'));

const mixedUp = (view: View): string[] => view.unknown.map((one) => told(view, one, 'is not owed'));

function sameId(views: readonly View[]): string[] {
  const payloads = new Map<string, string>();
  return views.flatMap((view) =>
    view.known.flatMap((arrival) => {
      const { id, payload } = arrival;
      if (id === undefined) return [];
      const first = payloads.get(id) ?? payload;
      payloads.set(id, first);
      return first === payload ? [] : [told(view, arrival, `has the id of ${first}`)];
    }),
  );
}
