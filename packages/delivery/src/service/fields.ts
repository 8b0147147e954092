import { field } from '@pushfleet/runtime';

const entry = field.duration({ env: 'PUSHFLEET_RETRY', doc: '', min: 1, max: 30 * 86_400 });
const mostRetries = 50;

/** Delays with commas between them, in milliseconds. @throws Error with the entry that is wrong */
export function parseRetries(text: string): readonly number[] {
  const entries = text.split(',').map((part) => part.trim());
  if (entries.length > mostRetries) throw new Error(`it has ${entries.length} entries`);
  return Object.freeze(
    entries.map((part) => {
      try {
        return entry.parse(part);
      } catch {
        throw new Error(`${JSON.stringify(part)} is not ${entry.rule}`);
      }
    }),
  );
}

/** The rule that `parseRetries` goes by. */
export const retryRule = `1 to ${mostRetries} times with commas between them, each in seconds or with its unit (ms, s, m, h, d), from 1 s to 30 d`;

/** What a page says of the fields below that a subscription may have terms of its own for. */
const ownTerms = { timeout: ' A subscription can ask for less.', most: ', where it does not say' };

/**
 * What every service reads whose workers call receivers.
 *
 * @param prefix of its variables: `PUSHFLEET_WEBHOOK`
 * @param terms what is said of a subscription's own terms
 */
export const deliveryFields = (prefix: string, terms = ownTerms) => ({
  timeoutMs: field.duration({
    env: `${prefix}_TIMEOUT`,
    doc: `How long one attempt may take, from the lookup of its host to the end of the answer.${terms.timeout}`,
    fallback: 30,
    min: 1,
    max: 120,
  }),
  endpointConcurrency: field.integer({
    env: `${prefix}_ENDPOINT_CONCURRENCY`,
    doc: `Most deliveries of one subscription on their way at once${terms.most}.`,
    fallback: 10,
    min: 1,
    max: 1_000,
  }),
  endpointRate: field.integer({
    env: `${prefix}_ENDPOINT_RATE`,
    doc: `Most deliveries of one subscription a second${terms.most}.`,
    fallback: 100,
    min: 1,
    max: 100_000,
  }),
  concurrency: field.integer({
    env: `${prefix}_CONCURRENCY`,
    doc: 'Most deliveries of this process on their way at once, those left aside that hang.',
    fallback: 1_000,
    min: 1,
    max: 100_000,
  }),
  slow: field.integer({
    env: `${prefix}_SLOW`,
    doc: `Most deliveries of this process on their way that have not been answered within a second or so. They do not count among ${prefix}_CONCURRENCY, so that receivers that hang keep nobody waiting. Mind the limit of open files.`,
    fallback: 4_000,
    min: 1,
    max: 100_000,
  }),
  breakerFailures: field.integer({
    env: `${prefix}_BREAKER_FAILURES`,
    doc: 'A receiver that failed so often in a row is left alone for a while.',
    fallback: 5,
    min: 1,
    max: 1_000,
  }),
  breakerMs: field.duration({
    env: `${prefix}_BREAKER_SECONDS`,
    doc: 'For how long a failing receiver is left alone at first; it doubles up to sixteen times as long while it goes on failing.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
  queueMs: field.duration({
    env: `${prefix}_QUEUE_RETENTION`,
    doc: 'How long what waits for a subscription is kept.',
    fallback: '7d',
    min: 60,
    max: 366 * 86_400,
  }),
});

/** What bounds how often somebody has subscriptions made and changed, by whichever API. */
export const subscriptionRateFields = {
  subscriptionRate: field.integer({
    env: 'PUSHFLEET_SUBSCRIPTION_RATE',
    doc: 'How many requests that create or change subscriptions, make secrets or have receivers called each token subject may send per second to one instance, on average.',
    fallback: 10,
    min: 1,
  }),
  subscriptionBurst: field.integer({
    env: 'PUSHFLEET_SUBSCRIPTION_BURST',
    doc: 'How many such requests a token subject may send at once before PUSHFLEET_SUBSCRIPTION_RATE holds it back.',
    fallback: 100,
    min: 1,
  }),
};
