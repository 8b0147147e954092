import { deliveryFields, parseRetries, retryRule } from '@pushfleet/delivery';
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
  ...deliveryFields('PUSHFLEET_WEBHOOK'),
  retryMs: field.parsed(
    {
      env: 'PUSHFLEET_WEBHOOK_RETRY',
      doc: 'How long after each failed attempt the next is made, each give or take a fifth; after the last of them the delivery is a dead letter.',
      rule: retryRule,
      example: '5s,5m,30m,2h',
      fallback: '5s,5m,30m,2h,5h,10h,14h,20h,24h',
    },
    parseRetries,
  ),
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
