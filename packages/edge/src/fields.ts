import { limits } from '@pushfleet/core';
import {
  browserFields,
  commonFields,
  field,
  natsFields,
  policyFields,
  registryFields,
  tokenFields,
  traceFields,
} from '@pushfleet/runtime';

/** What every edge reads that answers pages of browsers. */
export const pageFields = {
  ...browserFields,
  cookieSameSite: field.choice({
    env: 'PUSHFLEET_COOKIE_SAME_SITE',
    doc: 'SameSite of the cookie that a ticket is exchanged for. None is for pages of another site.',
    choices: ['Strict', 'Lax', 'None'],
    fallback: 'Strict',
  }),
};

/** What every edge reads that others of the fleet read, too. */
export const fleetFields = {
  ...commonFields,
  ...tokenFields,
  ...natsFields,
  ...registryFields,
  ...policyFields,
  ...traceFields,
};

/** What an edge reads whose clients can be present on topics. */
export const presenceFields = {
  presenceLingerMs: field.duration({
    env: 'PUSHFLEET_PRESENCE_LINGER_SECONDS',
    doc: 'How long a member stays whose connection was lost or was asked to come back. Who enters again by then, under the same client id, was never away. 0: it leaves at once.',
    fallback: 10,
    min: 0,
    max: 3_600,
  }),
  presenceTopics: field.integer({
    env: 'PUSHFLEET_PRESENCE_TOPICS',
    doc: 'The most topics that one connection is present on.',
    fallback: 100,
    min: 1,
  }),
};

/** What an edge reads whose sessions outlive their connections. */
export const sessionFields = {
  sessionPatienceMs: field.duration({
    env: 'PUSHFLEET_SESSION_PATIENCE_SECONDS',
    doc: 'How long a client waits while the registry or its Redis cannot keep what has to be kept of its session; then its connection ends.',
    fallback: 10,
    min: 1,
    max: 300,
  }),
};

export interface EdgeFieldsOptions<E extends string> {
  /** As in PUSHFLEET_EDGE_SSE_LISTEN: `EDGE_SSE`. */
  readonly env: E;
  /** What a person calls several connections: "streams". */
  readonly noun: string;
  /** Ports of its own, for clients and for operations. */
  readonly port: number;
  readonly opsPort: number;
  /** What comes of a connection after `…_CONNECTION_AGE_SECONDS`, and of a client that reads too slowly, where it is not that it is asked to come back. */
  readonly aged?: string;
  readonly overrun?: string;
}

/** Addresses and bounds of an edge that clients reach over HTTP/1.1. */
export function edgeFields<E extends string>(options: EdgeFieldsOptions<E>) {
  const { env, noun, port, opsPort } = options;
  const name = <S extends string>(suffix: S): `PUSHFLEET_${E}_${S}` => `PUSHFLEET_${env}_${suffix}`;
  const one = noun.replace(/s$/, '');
  const {
    aged = `A ${one} is asked to come back after this time, give or take a tenth, so that load spreads over new instances.`,
    overrun = 'one more, and it is asked to come back.',
  } = options;
  return {
    ...pageFields,
    listen: field.address({
      env: name('LISTEN'),
      doc: 'Where clients connect, in cleartext HTTP/1.1: TLS and HTTP/2 are the business of the front.',
      fallback: `127.0.0.1:${port}`,
    }),
    opsListen: field.address({
      env: name('OPS_LISTEN'),
      doc: 'Where /healthz, /readyz and /metrics are served.',
      fallback: `127.0.0.1:${opsPort}`,
    }),
    connections: field.integer({
      env: name('CONNECTIONS'),
      doc: `Most ${noun} of this process; more are told to come back later. Mind the limit of open files.`,
      fallback: 20_000,
      min: 1,
    }),
    connectionsPerSubject: field.integer({
      env: name('CONNECTIONS_PER_SUBJECT'),
      doc: `Most ${noun} of this process that one token subject holds.`,
      fallback: 10_000,
      min: 1,
    }),
    connectionAgeMs: field.duration({
      env: name('CONNECTION_AGE_SECONDS'),
      doc: `${aged} 0: never.`,
      fallback: 0,
      min: 0,
    }),
    filters: field.integer({
      env: name('FILTERS'),
      doc: `Most topic filters of one ${one}.`,
      fallback: limits.feedFilters,
      min: 1,
      max: limits.feedFilters,
    }),
    outboxCount: field.integer({
      env: name('OUTBOX_COUNT'),
      doc: `Most publications held back for a client that reads slowly; ${overrun}`,
      fallback: 1_000,
      min: 1,
    }),
    outboxBytes: field.bytes({
      env: name('OUTBOX_BYTES'),
      doc: 'Most payload bytes held back for a client that reads slowly.',
      fallback: '4MiB',
      min: 1_024,
    }),
    urlBytes: field.bytes({
      env: name('URL_BYTES'),
      doc: 'Longest request target; longer lists of topics travel in the body of a POST.',
      fallback: '8KiB',
      min: 256,
    }),
    headerBytes: field.bytes({
      env: name('HEADER_BYTES'),
      doc: 'Longest request head, the target included.',
      fallback: '24KiB',
      min: 1_024,
    }),
    bodyBytes: field.bytes({
      env: name('BODY_BYTES'),
      doc: 'Longest body of a POST.',
      fallback: '256KiB',
      min: 1_024,
    }),
  };
}
