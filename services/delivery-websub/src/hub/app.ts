import { PushfleetError } from '@pushfleet/core';
import { byMethod, type Log, problem, type RateLimit } from '@pushfleet/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Notices } from '../feeds/notices.ts';
import { readForm } from './form.ts';
import type { Subscribing } from './subscribing.ts';

export interface HubOptions {
  readonly subscribing: Subscribing;
  readonly notices: Pick<Notices, 'take'>;
  /** By the address that connects, and by the host of the callback or feed. */
  readonly rates: { readonly address: RateLimit; readonly host: RateLimit };
  readonly log: Log;
}

/** Largest form, in bytes: two URLs, each of whose bytes may come escaped, and what else there is. */
const formBytes = 16_384;

/** The hub as subscribers see it: whatever is wrong is told as plain text (WebSub, section 5.1.2). */
export function createApp(options: HubOptions): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', false);
  app.enable('strict routing').enable('case sensitive routing');
  const readBody = express.raw({ limit: formBytes, inflate: false, type: () => true });
  const read = (request: Request, _: Response, next: NextFunction): void => {
    options.rates.address.require(request.socket.remoteAddress ?? '');
    if (!isForm(request)) throw noForm();
    // The parser would read all of it before it says so.
    if (Number(request.headers['content-length'] ?? 0) > formBytes) throw tooLarge();
    next();
  };
  app.post('/websub', read, readBody, async (request, response) => {
    const wanted = readForm(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
    if (wanted.mode === 'publish') {
      for (const host of new Set(wanted.urls.map(hostOf))) options.rates.host.require(host);
      await options.notices.take(wanted.urls);
      response.status(204).end();
      return;
    }
    options.rates.host.require(hostOf(wanted.callback));
    const outcome = await options.subscribing.take(wanted);
    response.status(outcome === 'verified' ? 204 : 202).end();
  });
  app.all('/websub', byMethod<Request, Response>({ POST: () => undefined }));
  app.use(() => {
    throw new PushfleetError('not_found', 'There is nothing here; the hub is at /websub.');
  });
  // Express knows an error handler by its four parameters.
  app.use((thrown: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const error = PushfleetError.from(fromExpress(thrown));
    if (error.code === 'internal') options.log.error({ err: error.cause }, 'a request failed');
    sendText(response, error);
  });
  return app;
}

const isForm = ({ headers }: Request): boolean =>
  /^application\/x-www-form-urlencoded\s*(;|$)/i.test(headers['content-type'] ?? '');

const noForm = (): PushfleetError =>
  new PushfleetError(
    'unsupported_media_type',
    'A request to the hub comes as application/x-www-form-urlencoded.',
  );

/** What is no URL is refused behind it. */
const hostOf = (url: string): string => URL.parse(url)?.hostname ?? '';

function fromExpress(thrown: unknown): unknown {
  const { type, status } = thrown as { readonly type?: unknown; readonly status?: unknown };
  if (thrown instanceof PushfleetError || typeof status !== 'number' || status >= 500) return thrown;
  if (type === 'entity.too.large') {
    return tooLarge();
  }
  return new PushfleetError('request_invalid', 'The request cannot be read.');
}

const tooLarge = (): PushfleetError =>
  new PushfleetError('payload_too_large', `The form has at most ${formBytes} bytes.`);

function sendText(response: Response, error: PushfleetError): void {
  const { status, headers } = problem(error);
  const body = Buffer.from(`${error.message}\n`);
  const { 'www-authenticate': _, ...kept } = headers;
  response
    .writeHead(status, {
      ...kept,
      'content-type': 'text/plain; charset=utf-8',
      'content-length': body.length,
    })
    .end(body);
}
