import { limits } from '@pushfleet/core';
import {
  browserFields,
  type Config,
  commonFields,
  field,
  natsFields,
  policyFields,
  registryFields,
  tokenFields,
  traceFields,
} from '@pushfleet/runtime';

export const title = 'edge-sse';

const own = {
  ...browserFields,
  listen: field.address({
    env: 'PUSHFLEET_EDGE_SSE_LISTEN',
    doc: 'Where clients connect, in cleartext HTTP/1.1: TLS and HTTP/2 are the business of the front.',
    fallback: '127.0.0.1:8081',
  }),
  opsListen: field.address({
    env: 'PUSHFLEET_EDGE_SSE_OPS_LISTEN',
    doc: 'Where /healthz, /readyz and /metrics are served.',
    fallback: '127.0.0.1:9181',
  }),
  cookieSameSite: field.choice({
    env: 'PUSHFLEET_COOKIE_SAME_SITE',
    doc: 'SameSite of the cookie that a ticket is exchanged for. None is for pages of another site.',
    choices: ['Strict', 'Lax', 'None'],
    fallback: 'Strict',
  }),
  connections: field.integer({
    env: 'PUSHFLEET_EDGE_SSE_CONNECTIONS',
    doc: 'Most streams of this process; more are told to come back later. Mind the limit of open files.',
    fallback: 20_000,
    min: 1,
  }),
  connectionsPerSubject: field.integer({
    env: 'PUSHFLEET_EDGE_SSE_CONNECTIONS_PER_SUBJECT',
    doc: 'Most streams of this process that one token subject holds.',
    fallback: 10_000,
    min: 1,
  }),
  connectionAgeMs: field.duration({
    env: 'PUSHFLEET_EDGE_SSE_CONNECTION_AGE_SECONDS',
    doc: 'A stream is asked to come back after this time, give or take a tenth, so that load spreads over new instances. 0: never.',
    fallback: 0,
    min: 0,
  }),
  filters: field.integer({
    env: 'PUSHFLEET_EDGE_SSE_FILTERS',
    doc: 'Most topic filters of one stream.',
    fallback: limits.feedFilters,
    min: 1,
    max: limits.feedFilters,
  }),
  outboxCount: field.integer({
    env: 'PUSHFLEET_EDGE_SSE_OUTBOX_COUNT',
    doc: 'Most publications held back for a client that reads slowly; one more, and it is asked to come back.',
    fallback: 1_000,
    min: 1,
  }),
  outboxBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_SSE_OUTBOX_BYTES',
    doc: 'Most payload bytes held back for a client that reads slowly.',
    fallback: '4MiB',
    min: 1_024,
  }),
  urlBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_SSE_URL_BYTES',
    doc: 'Longest request target; longer lists of topics travel in the body of a POST.',
    fallback: '8KiB',
    min: 256,
  }),
  headerBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_SSE_HEADER_BYTES',
    doc: 'Longest request head, the target included.',
    fallback: '24KiB',
    min: 1_024,
  }),
  bodyBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_SSE_BODY_BYTES',
    doc: 'Longest body of a POST.',
    fallback: '256KiB',
    min: 1_024,
  }),
};

export const fields = {
  ...commonFields,
  ...tokenFields,
  ...natsFields,
  ...registryFields,
  ...policyFields,
  ...traceFields,
  ...own,
};

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> & Pick<Config<typeof commonFields>, 'drainMs'>;
