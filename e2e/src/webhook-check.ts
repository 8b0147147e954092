/** A request as an endpoint saw it. Times are milliseconds of the test's monotonic clock. */
export interface Receipt {
  readonly endpoint: string;
  readonly at: number;
  /** The `webhook-id`. */
  readonly id: string;
  /** Names the publication: no two have the same. */
  readonly body: string;
  /** Its signature is good for the endpoint's secret. */
  readonly signed: boolean;
  /** What was answered, and when; absent where no answer was given. */
  readonly status?: number;
  readonly answeredAt?: number;
}

/** Something was taken away at `from`, and stood again at `to`. */
export interface Disruption {
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** What an endpoint is owed, in the order of the log. */
export interface Owed {
  readonly body: string;
  readonly shard: number;
}

export interface Endpoint {
  readonly endpoint: string;
  /** It asked for one after the other, in order. */
  readonly ordered: boolean;
  /** How many requests it may be sent at the same time. */
  readonly concurrency: number;
  readonly owed: readonly Owed[];
}

export interface Observed {
  readonly receipts: readonly Receipt[];
  readonly endpoints: readonly Endpoint[];
  readonly disruptions: readonly Disruption[];
  /** How long before a disruption a delivery may have been accepted without that being on record, in ms. */
  readonly windowMs: number;
}

/** What was promised and not kept, a line for each case; all empty when every promise was kept. */
export interface Findings {
  /** Owed and never accepted, although the subscription did not end. */
  readonly lost: readonly string[];
  /** Came again although it was accepted, and no disruption explains it. */
  readonly doubled: readonly string[];
  /** Came to an ordered subscription before its predecessor was accepted. */
  readonly disordered: readonly string[];
  /** Came after a 410, and was not on its way by then. */
  readonly unwanted: readonly string[];
  /** Its signature is not valid. */
  readonly forged: readonly string[];
  /** One `webhook-id` for two bodies, one body under two ids, or a body that the endpoint is not owed. */
  readonly mixedUp: readonly string[];
}

/** Holds what the endpoints saw against what the fleet promises them. */
export function check(observed: Observed): Findings {
  const receipts = Map.groupBy(
    observed.receipts.toSorted((a, b) => a.at - b.at),
    ({ endpoint }) => endpoint,
  );
  const visits = observed.endpoints.map((endpoint) => ({
    endpoint,
    receipts: receipts.get(endpoint.endpoint) ?? [],
  }));
  const of = (find: (visit: Visits, observed: Observed) => string[]) =>
    visits.flatMap((visit) => find(visit, observed));
  return {
    lost: of(lost),
    doubled: of(doubled),
    disordered: of(disordered),
    unwanted: of(unwanted),
    forged: of(forged),
    mixedUp: of(mixedUp),
  };
}

/** How many receipts were of deliveries that their endpoint had accepted before. */
export const countAgain = ({ receipts }: Observed): number =>
  [...Map.groupBy(receipts.filter(accepted), ({ endpoint, id }) => `${endpoint} ${id}`).values()].reduce(
    (sum, same) => sum + same.length - 1,
    0,
  );

interface Visits {
  readonly endpoint: Endpoint;
  /** By their time. */
  readonly receipts: readonly Receipt[];
}

const accepted = ({ status = 0 }: Receipt): boolean => status >= 200 && status < 300;
const told = ({ endpoint, id, body, at }: Receipt, what: string): string =>
  `${endpoint}: ${id} ${body.slice(0, 80)} at ${Math.round(at)} ${what}`;

function lost({ endpoint: { endpoint, owed }, receipts }: Visits): string[] {
  if (receipts.some(({ status }) => status === 410)) return [];
  const got = new Set(receipts.filter(accepted).map(({ body }) => body));
  return owed
    .filter(({ body }) => !got.has(body))
    .map(({ body }) => {
      const attempts = receipts.filter((receipt) => receipt.body === body).length;
      return `${endpoint}: ${body.slice(0, 80)} was not accepted, ${attempts} attempts`;
    });
}

/** What was under way or answered near a disruption may not be on record; then it comes again. */
function touches({ from, to }: Disruption, receipt: Receipt, again: Receipt, windowMs: number): boolean {
  const { at, answeredAt = at } = receipt;
  return at <= to && answeredAt >= from - windowMs && again.at >= from;
}

const unsettled = (receipt: Receipt, again: Receipt, { disruptions, windowMs }: Observed): boolean =>
  disruptions.some((disruption) => touches(disruption, receipt, again, windowMs));

/**
 * An attempt that was on its way at a disruption may be on record twice from then on, and be taken twice in the end:
 * each disruption explains one delivery more, which like every other is attempted until it is accepted.
 */
function doubled({ receipts }: Visits, observed: Observed): string[] {
  return [...Map.groupBy(receipts, ({ id }) => id).values()].flatMap((attempts) => {
    const [first, ...again] = deliveries(attempts);
    const taken = first?.at(-1);
    if (first === undefined || taken === undefined || !accepted(taken)) return [];
    const causes = new Set(observed.disruptions);
    const before = [...first];
    return again.flatMap((delivery) => {
      const [start] = delivery as [Receipt];
      const cause = [...causes].find((one) =>
        before.some((receipt) => touches(one, receipt, start, observed.windowMs)),
      );
      before.push(...delivery);
      if (cause !== undefined) causes.delete(cause);
      return cause === undefined ? [told(start, `came again, accepted at ${Math.round(taken.at)}`)] : [];
    });
  });
}

/** The attempts of one `webhook-id`, each run of them up to the one that was accepted, or to the last. */
function deliveries(attempts: readonly Receipt[]): Receipt[][] {
  const runs: Receipt[][] = [];
  let begins = true;
  for (const attempt of attempts) {
    if (begins) runs.push([]);
    runs.at(-1)?.push(attempt);
    begins = accepted(attempt);
  }
  return runs;
}

function disordered({ endpoint, receipts }: Visits): string[] {
  if (!endpoint.ordered) return [];
  const acceptedAt = new Map<string, number>();
  for (const receipt of receipts) {
    if (!accepted(receipt) || acceptedAt.has(receipt.body)) continue;
    acceptedAt.set(receipt.body, receipt.answeredAt ?? receipt.at);
  }
  const first = new Map<string, Receipt>();
  for (const receipt of receipts) if (!first.has(receipt.body)) first.set(receipt.body, receipt);
  return [...Map.groupBy(endpoint.owed, ({ shard }) => shard).values()].flatMap((lane) =>
    lane.slice(1).flatMap(({ body }, i) => {
      const came = first.get(body);
      const before = lane[i] as Owed;
      if (came === undefined || (acceptedAt.get(before.body) ?? Number.POSITIVE_INFINITY) <= came.at)
        return [];
      return [told(came, `came before ${before.body.slice(0, 80)} was accepted`)];
    }),
  );
}

/**
 * When a 410 is answered, as many as the endpoint is sent at once may be on their way. A 410 near a disruption may
 * be forgotten; then the endpoint has to say it again.
 */
function unwanted({ endpoint, receipts }: Visits, observed: Observed): string[] {
  const from = receipts.findIndex(({ status }) => status === 410);
  if (from < 0) return [];
  const found: string[] = [];
  let told410 = receipts.slice(from, from + 1);
  for (const receipt of receipts.slice(from + 1)) {
    const [first = receipt] = told410;
    const onItsWay = receipt.at <= (first.answeredAt ?? first.at) + observed.windowMs;
    if (onItsWay && told410.length < endpoint.concurrency) told410.push(receipt);
    else if (told410.some((gone) => unsettled(gone, receipt, observed))) told410 = [receipt];
    else found.push(told(receipt, `came after a 410 at ${Math.round(first.at)}`));
  }
  return found;
}

const forged = ({ receipts }: Visits): string[] =>
  receipts.filter(({ signed }) => !signed).map((receipt) => told(receipt, 'is not signed as it should be'));

function mixedUp({ endpoint, receipts }: Visits): string[] {
  const owed = new Set(endpoint.owed.map(({ body }) => body));
  const bodies = new Map<string, string>();
  const ids = new Map<string, string>();
  return receipts.flatMap((receipt) => {
    const { id, body } = receipt;
    const known = { body: bodies.get(id) ?? body, id: ids.get(body) ?? id };
    bodies.set(id, known.body);
    ids.set(body, known.id);
    if (!owed.has(body)) return [told(receipt, 'is not owed')];
    return known.body === body && known.id === id
      ? []
      : [told(receipt, `has been ${known.id} ${known.body}`)];
  });
}
