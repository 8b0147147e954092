import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError } from '@pushfleet/core';
import { type Dialect, retryMs, type Visit } from '@pushfleet/edge';
import { closingText, frameGreeting, frameItem, scriptLiteral } from './codec.ts';
import { frameDialect, streamDialects } from './dialect.ts';
import { embedderOf } from './embedder.ts';

/** How one request is answered, whatever the answer is. */
export interface Form {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dialect: Dialect;
  /** By which the page that asks is trusted or not. */
  readonly asker: IncomingHttpHeaders;
  refuse(error: unknown): void;
}

const cometHeaders = {
  // A proxy that compressed or stored the response would hold publications back.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
} as const;

export const streamHeaders = {
  ...cometHeaders,
  'content-type': 'application/x-ndjson',
  // No page of another origin may load the stream as a script, an image or anything else.
  'cross-origin-resource-policy': 'same-origin',
} as const;

/** Of /comet/stream: a refusal is a problem document, for XMLHttpRequest reads statuses. */
export function streamForm(visit: Visit): Form {
  const path = '/comet/stream';
  return {
    path,
    headers: streamHeaders,
    dialect: streamDialects[visit.framing],
    asker: visit.headers,
    refuse: (error) => visit.refuse(error, path),
  };
}

export const documentHeaders = {
  ...cometHeaders,
  'content-type': 'text/html; charset=utf-8',
  // The address may hold a ticket.
  'referrer-policy': 'no-referrer',
} as const;

/** Of /comet/frame: a page cannot read the status of a frame, so a refusal is told by the same call as all else. */
export function frameForm(visit: Visit, trusted: readonly string[]): Form {
  const { headers: asker, origin } = embedderOf(visit.headers);
  const form = { nonce: randomBytes(16).toString('base64url'), target: origin };
  const headers = { ...documentHeaders, 'content-security-policy': policy(form.nonce, trusted) };
  return {
    path: '/comet/frame',
    headers,
    dialect: frameDialect(visit.framing, form),
    asker,
    refuse: (thrown) => {
      const error = PushfleetError.from(thrown);
      const text = closingText(error.code, error.message, retryMs(error.code, error.retryAfterMs));
      visit.refuseWith(error, headers, `${frameGreeting}${frameItem(form, scriptLiteral(text))}`);
    },
  };
}

/** Nothing runs but the scripts of this response, and nobody frames it but this origin and the listed ones. */
function policy(nonce: string, trusted: readonly string[]): string {
  // `*` stands for pages without credentials, and a frame has no others.
  const ancestors = ["'self'", ...trusted.filter((origin) => origin !== '*')].join(' ');
  return `default-src 'none'; script-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors ${ancestors}`;
}
