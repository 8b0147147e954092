import { outboundFields } from '@pushfleet/outbound';
import {
  commonFields,
  field,
  natsFields,
  publicFields,
  registryFields,
  traceFields,
} from '@pushfleet/runtime';

export const title = 'delivery-webhook';

const entry = field.duration({ env: 'PUSHFLEET_WEBHOOK_RETRY', doc: '', min: 1, max: 30 * 86_400 });
const mostRetries = 50;

/** @throws Error with the entry that is wrong */
function parseRetries(text: string): readonly number[] {
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

// A DNS name, which is all that the handshake of CloudEvents lets a sender be known by.
const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

function parseOrigin(text: string): string {
  if (!hostName.test(text)) throw new Error();
  return text.toLowerCase();
}

const own = {
  opsListen: field.address({
    env: 'PUSHFLEET_DELIVERY_WEBHOOK_OPS_LISTEN',
    doc: 'Where delivery-webhook answers /healthz, /readyz and /metrics.',
    fallback: '127.0.0.1:9189',
  }),
  timeoutMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_TIMEOUT',
    doc: 'How long one attempt may take, from the lookup of its host to the end of the answer. A subscription can ask for less.',
    fallback: 30,
    min: 1,
    max: 120,
  }),
  retryMs: field.parsed(
    {
      env: 'PUSHFLEET_WEBHOOK_RETRY',
      doc: 'How long after each failed attempt the next is made, each give or take a fifth; after the last of them the delivery is a dead letter.',
      rule: `1 to ${mostRetries} times with commas between them, each in seconds or with its unit (ms, s, m, h, d), from 1 s to 30 d`,
      example: '5s,5m,30m,2h',
      fallback: '5s,5m,30m,2h,5h,10h,14h,20h,24h',
    },
    parseRetries,
  ),
  endpointConcurrency: field.integer({
    env: 'PUSHFLEET_WEBHOOK_ENDPOINT_CONCURRENCY',
    doc: 'Most deliveries of one subscription on their way at once, where it does not say.',
    fallback: 10,
    min: 1,
    max: 1_000,
  }),
  endpointRate: field.integer({
    env: 'PUSHFLEET_WEBHOOK_ENDPOINT_RATE',
    doc: 'Most deliveries of one subscription a second, where it does not say.',
    fallback: 100,
    min: 1,
    max: 100_000,
  }),
  concurrency: field.integer({
    env: 'PUSHFLEET_WEBHOOK_CONCURRENCY',
    doc: 'Most deliveries of this process on their way at once, those left aside that hang.',
    fallback: 1_000,
    min: 1,
    max: 100_000,
  }),
  slow: field.integer({
    env: 'PUSHFLEET_WEBHOOK_SLOW',
    doc: 'Most deliveries of this process on their way that have not been answered within a second or so. They do not count among PUSHFLEET_WEBHOOK_CONCURRENCY, so that receivers that hang keep nobody waiting. Mind the limit of open files.',
    fallback: 4_000,
    min: 1,
    max: 100_000,
  }),
  breakerFailures: field.integer({
    env: 'PUSHFLEET_WEBHOOK_BREAKER_FAILURES',
    doc: 'A receiver that failed so often in a row is left alone for a while.',
    fallback: 5,
    min: 1,
    max: 1_000,
  }),
  breakerMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_BREAKER_SECONDS',
    doc: 'For how long a failing receiver is left alone at first; it doubles up to sixteen times as long while it goes on failing.',
    fallback: 30,
    min: 1,
    max: 3_600,
  }),
  suspendAfterMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_SUSPEND_AFTER',
    doc: 'A subscription without a successful delivery for so long, while deliveries were tried, is suspended.',
    fallback: '5d',
    min: 1,
    max: 366 * 86_400,
  }),
  queue: field.integer({
    env: 'PUSHFLEET_WEBHOOK_QUEUE',
    doc: 'Most deliveries that wait for one subscription, paused or slow. One more, and it is suspended.',
    fallback: 10_000,
    min: 1,
    max: 10_000_000,
  }),
  queueMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_QUEUE_RETENTION',
    doc: 'How long what waits for a subscription is kept.',
    fallback: '7d',
    min: 60,
    max: 366 * 86_400,
  }),
  attemptsMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_ATTEMPTS_RETENTION',
    doc: 'How long attempts can be listed.',
    fallback: '3d',
    min: 60,
    max: 366 * 86_400,
  }),
  deadLettersMs: field.duration({
    env: 'PUSHFLEET_WEBHOOK_DEAD_LETTER_RETENTION',
    doc: 'How long a delivery that was given up can be listed and delivered again.',
    fallback: '30d',
    min: 60,
    max: 366 * 86_400,
  }),
  bodyBytes: field.bytes({
    env: 'PUSHFLEET_WEBHOOK_BODY_BYTES',
    doc: 'Largest body that is sent; a publication whose body would be larger is a dead letter. In structured mode bytes travel as base64, which adds a third.',
    fallback: '1MiB',
    min: 1_024,
    max: 4_194_304,
  }),
  origin: field.parsed(
    {
      env: 'PUSHFLEET_WEBHOOK_ORIGIN',
      doc: 'The DNS name by which receivers know this fleet: WebHook-Request-Origin in the handshake of CloudEvents. Absent, the host of PUSHFLEET_PUBLIC_URL.',
      rule: 'a DNS name',
      example: 'push.example.com',
      optional: true,
    },
    parseOrigin,
  ),
};

export const fields = {
  ...commonFields,
  ...natsFields,
  ...registryFields,
  ...traceFields,
  ...publicFields,
  ...outboundFields,
  ...own,
};
