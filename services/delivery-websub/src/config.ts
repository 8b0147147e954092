import { limits } from '@pushfleet/core';
import { deliveryFields, parseRetries, retryRule } from '@pushfleet/delivery';
import { outboundFields } from '@pushfleet/outbound';
import {
  commonFields,
  field,
  natsFields,
  policyFields,
  publicFields,
  registryFields,
  traceFields,
} from '@pushfleet/runtime';

export const title = 'delivery-websub';

const year = 366 * 86_400;

const own = {
  listen: field.address({
    env: 'PUSHFLEET_DELIVERY_WEBSUB_LISTEN',
    doc: 'Where the hub listens.',
    fallback: '127.0.0.1:8085',
  }),
  opsListen: field.address({
    env: 'PUSHFLEET_DELIVERY_WEBSUB_OPS_LISTEN',
    doc: 'Where delivery-websub answers /healthz, /readyz and /metrics.',
    fallback: '127.0.0.1:9185',
  }),
  ...deliveryFields('PUSHFLEET_WEBSUB', {
    timeout: ' A question to a callback has 10 s at most; the fetch of a feed has as much as a delivery.',
    most: '',
  }),
  retryMs: field.parsed(
    {
      env: 'PUSHFLEET_WEBSUB_RETRY',
      doc: 'How long after each failed attempt the next is made, each give or take a fifth; the last of them again and again until the lease ends.',
      rule: retryRule,
      example: '5s,1m,10m',
      fallback: '5s,1m,5m,30m,2h',
    },
    parseRetries,
  ),
  questionRetryMs: field.parsed(
    {
      env: 'PUSHFLEET_WEBSUB_VERIFY_RETRY',
      doc: 'How long after a callback that gave no definite answer it is asked again whether it wants what was asked for in its name; after the last of them nothing changes.',
      rule: retryRule,
      example: '5s,1m,10m',
      fallback: '5s,1m,10m,1h',
    },
    parseRetries,
  ),
  leaseMs: field.duration({
    env: 'PUSHFLEET_WEBSUB_LEASE',
    doc: 'How long a subscription lasts whose subscriber does not say.',
    fallback: '10d',
    min: 1,
    max: year,
  }),
  leaseLeastMs: field.duration({
    env: 'PUSHFLEET_WEBSUB_LEASE_MIN',
    doc: 'The shortest lease; who asks for less gets this.',
    fallback: '5m',
    min: 1,
    max: year,
  }),
  leaseMostMs: field.duration({
    env: 'PUSHFLEET_WEBSUB_LEASE_MAX',
    doc: 'The longest lease; who asks for more gets this. What is not delivered is kept for as long.',
    fallback: '30d',
    min: 1,
    max: year,
  }),
  signature: field.choice({
    env: 'PUSHFLEET_WEBSUB_SIGNATURE',
    doc: 'How deliveries are signed to subscribers that gave a secret and asked for no other way.',
    choices: ['sha256', 'sha384', 'sha512'],
    fallback: 'sha256',
  }),
  queue: field.integer({
    env: 'PUSHFLEET_WEBSUB_QUEUE',
    doc: 'Most deliveries that wait for one subscription. One more, and it is denied.',
    fallback: 1_000,
    min: 1,
    max: 10_000_000,
  }),
  bodyBytes: field.bytes({
    env: 'PUSHFLEET_WEBSUB_BODY_BYTES',
    doc: 'Largest payload that is sent; a larger one is not delivered.',
    fallback: '1MiB',
    min: 1_024,
    max: 4_194_304,
  }),
  fetchRetryMs: field.parsed(
    {
      env: 'PUSHFLEET_WEBSUB_FETCH_RETRY',
      doc: 'How long after each failed fetch of a feed it is fetched again, give or take a fifth; after the last of them it is not, until it is announced again.',
      rule: retryRule,
      example: '5s,1m,10m',
      fallback: '5s,1m,5m,30m,2h',
    },
    parseRetries,
  ),
  fetchBytes: field.bytes({
    env: 'PUSHFLEET_WEBSUB_FETCH_BYTES',
    doc: "Largest content of a feed that is published. With its headers it must fit into the broker's max_payload.",
    fallback: limits.payloadBytes,
    min: 1_024,
    max: 4_194_304,
  }),
  rate: field.integer({
    env: 'PUSHFLEET_WEBSUB_RATE',
    doc: 'Requests a second that each address which connects may send to one instance, on average, with bursts of ten times as many. Behind a front that is the front, and this bounds all of them together.',
    fallback: 50,
    min: 1,
    max: 100_000,
  }),
  hostRate: field.integer({
    env: 'PUSHFLEET_WEBSUB_HOST_RATE',
    doc: 'Requests a second for the callbacks of one host, or that announce its feeds, at one instance, on average, with bursts of ten times as many.',
    fallback: 5,
    min: 1,
    max: 100_000,
  }),
  hostSubscriptions: field.integer({
    env: 'PUSHFLEET_WEBSUB_HOST_SUBSCRIPTIONS',
    doc: 'Most subscriptions whose callbacks are of one host, in each namespace.',
    fallback: 1_000,
    min: 1,
    max: 10_000,
  }),
  syncRequests: field.integer({
    env: 'PUSHFLEET_WEBSUB_SYNC_REQUESTS',
    doc: 'Most requests of PubSubHubbub 0.3 at one instance that wait for their verification (hub.verify=sync).',
    fallback: 100,
    min: 0,
    max: 10_000,
  }),
};

export const fields = {
  ...commonFields,
  ...natsFields,
  ...registryFields,
  ...policyFields,
  ...traceFields,
  ...publicFields,
  ...outboundFields,
  ...own,
};
