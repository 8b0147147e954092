import { PushfleetError, parseTopicFilter, quote } from '@pushfleet/core';
import {
  bearer,
  byMethod,
  type Grant,
  type Handler,
  type Log,
  requireJson,
  sendProblem,
  type TokenCheck,
} from '@pushfleet/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { cors } from './cors.ts';
import { isRevocationId } from './revocation.ts';
import { parseTerms, toJson } from './revocation-json.ts';
import { notFound } from './revocation-ledger.ts';
import type { RevocationRegister } from './revocations.ts';
import type { Tickets } from './tickets.ts';

export interface HttpOptions {
  readonly tokens: TokenCheck;
  readonly tickets: Tickets;
  readonly revocations: RevocationRegister;
  readonly log: Log;
  readonly corsOrigins: readonly string[];
  /** How long a token may live, in milliseconds; a revocation that names no end outlives it. */
  readonly tokenLifetimeMs: number;
}

type Endpoint = Handler<Request, Response>;

const bodyBytes = 16_384;
const pageDefault = 100;
const pageMost = 1_000;
/** A revocation takes every right of a subject away, so it needs the right to all of the namespace. */
const everything = parseTopicFilter('#');

/** The registry as managers and browsers see it. */
export function createApp(options: HttpOptions): Express {
  const api = new Api(options);
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('strict routing').enable('case sensitive routing');
  app.use((_, response, next) => {
    // Tickets are secrets, and a list of revocations is true for a moment only.
    response.setHeader('cache-control', 'no-store');
    next();
  });
  app.use('/v1/tickets', cors(options.corsOrigins));
  app.all('/v1/tickets', byMethod({ POST: api.issueTicket }));
  app.all('/v1/revocations', byMethod({ GET: api.listRevocations, POST: api.revoke }));
  app.all('/v1/revocations/:id', byMethod({ DELETE: api.lift }));
  app.use((request) => {
    throw new PushfleetError('not_found', `There is nothing at ${quote(request.path)}.`);
  });
  // Express knows an error handler by its four parameters.
  app.use((thrown: unknown, request: Request, response: Response, _next: NextFunction) => {
    const error = PushfleetError.from(fromExpress(thrown));
    if (error.code === 'internal') options.log.error({ err: error.cause }, 'a request failed');
    sendProblem(response, error, request.path);
  });
  return app;
}

class Api {
  readonly #options: HttpOptions;
  readonly #json = express.json({ limit: bodyBytes, inflate: false, type: () => true });

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  readonly issueTicket: Endpoint = async (request, response) => {
    const { grant, token } = await this.#authenticate(request);
    response.status(201).json(await this.#options.tickets.issue(grant, token));
  };

  readonly listRevocations: Endpoint = async (request, response) => {
    const { namespace } = await this.#manager(request);
    const { after, limit } = parsePage(new URLSearchParams(request.url.split('?')[1]));
    const entries = this.#options.revocations.list(namespace, after, limit + 1);
    const page = entries.slice(0, limit);
    const next = entries.length > limit ? page.at(-1)?.id : undefined;
    response.json({ revocations: page.map(toJson), next });
  };

  readonly revoke: Endpoint = async (request, response) => {
    const { namespace, subject } = await this.#manager(request);
    const body = await this.#body(request, response);
    const terms = parseTerms(body, Date.now(), this.#options.tokenLifetimeMs);
    const { entry, created } = await this.#options.revocations.revoke(namespace, terms, subject);
    response
      .status(created ? 201 : 200)
      .location(`/v1/revocations/${entry.id}`)
      .json(toJson(entry));
  };

  readonly lift: Endpoint = async (request, response) => {
    const { namespace } = await this.#manager(request);
    const id = String(request.params.id);
    if (!isRevocationId(id)) throw notFound();
    await this.#options.revocations.lift(namespace, id);
    response.status(204).end();
  };

  async #manager(request: Request): Promise<Grant> {
    const { grant } = await this.#authenticate(request);
    grant.require('manage', everything);
    return grant;
  }

  async #authenticate(request: Request): Promise<{ readonly grant: Grant; readonly token: string }> {
    // No cookie: a page of another origin could make a browser revoke with it.
    const token = bearer({ authorization: request.headers.authorization });
    if (token === undefined) {
      throw new PushfleetError(
        'unauthenticated',
        'No token came with the request; send "Authorization: Bearer <token>".',
      );
    }
    return { grant: await this.#options.tokens.check(token), token };
  }

  async #body(request: Request, response: Response): Promise<unknown> {
    requireJson(request);
    await new Promise<void>((resolve, reject) => {
      this.#json(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
    });
    return request.body;
  }
}

function parsePage(query: URLSearchParams): { readonly after: string; readonly limit: number } {
  const after = query.get('after') ?? '';
  const limit = query.get('limit') ?? String(pageDefault);
  if (after !== '' && !isRevocationId(after)) {
    throw new PushfleetError(
      'request_invalid',
      '"after" is the "next" of the page before; leave it out to begin.',
    );
  }
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > pageMost) {
    throw new PushfleetError(
      'request_invalid',
      `"limit" is a whole number from 1 to ${pageMost}, not ${quote(limit)}.`,
    );
  }
  return { after, limit: Number(limit) };
}

/** What Express and its body parser throw, in the fleet's words. */
function fromExpress(thrown: unknown): unknown {
  const { type, status } = thrown as { readonly type?: unknown; readonly status?: unknown };
  if (thrown instanceof PushfleetError || typeof status !== 'number' || status >= 500) return thrown;
  if (type === 'entity.too.large') {
    return new PushfleetError('payload_too_large', `The body is at most ${bodyBytes} bytes.`, {
      detail: { limit: bodyBytes },
    });
  }
  if (status === 415) {
    return new PushfleetError(
      'unsupported_media_type',
      'The body comes in UTF-8 and without a Content-Encoding.',
    );
  }
  return new PushfleetError('request_invalid', 'The request cannot be read: the body must be valid JSON.');
}
