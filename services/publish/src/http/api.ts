import { PushfleetError, parseTopic, quote } from '@pushfleet/core';
import {
  type Address,
  bearer,
  byMethod,
  type Grant,
  type Handler,
  HttpServer,
  type Log,
  pageAccess,
  parseTarget,
  type TokenCheck,
  type TraceHeaders,
  topicOf,
} from '@pushfleet/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Archive } from '../archive/archive.ts';
import type { Discovery } from '../discovery.ts';
import type { Subscribing } from '../subscribe/subscribing.ts';
import type { Api, Tracking } from '../tracking.ts';
import { refuse, sendJson, sendOptions } from './answer.ts';
import { BodyAborted } from './body.ts';
import { answerExplain } from './explain.ts';
import { answerHistory } from './history.ts';
import {
  answerPublication,
  asksForPublication,
  type PublicationOptions,
  publicationParameters,
} from './publication.ts';
import { accepted, Publishing, type PublishingOptions } from './publish.ts';
import { readQuery } from './query.ts';
import { answerSubscribe, answerUnsubscribe } from './subscribe.ts';
import { answerDelete, answerTopic } from './topic.ts';

export interface HttpOptions extends Omit<PublishingOptions, 'intake'>, PublicationOptions {
  readonly address: Address;
  readonly tokens: TokenCheck;
  readonly tracking: Tracking;
  readonly archive: Archive;
  readonly discovery: Discovery;
  /** Absent where there is no registry. */
  readonly subscribing?: Subscribing | undefined;
  /** Longest time that a request may take to arrive before its body, in milliseconds. */
  readonly requestMs: number;
  /** Of pages that may publish and read with a token of their own. */
  readonly corsOrigins: readonly string[];
  readonly log: Log;
}

/** A topic of 1,024 bytes and attributes of 8,192 take three times that in escapes. */
const headerBytes = 65_536;

/** The HTTP publish API, to be started. */
export function createHttpApi(options: HttpOptions): HttpServer {
  return new HttpServer({
    address: options.address,
    handler: new Resources(options).app(),
    log: options.log,
    headerBytes,
    // Behind the limit of our own on bodies, which answers with a problem document.
    requestMs: options.requestMs,
    bodyMs: options.bodyTimeoutMs,
    asksForBodies: true,
  });
}

class Resources {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  app(): Express {
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', false);
    app.enable('strict routing').enable('case sensitive routing');
    const access = pageAccess({
      origins: this.#options.corsOrigins,
      methods: ['GET', 'POST', 'DELETE'],
      headers: ['Authorization', '*'],
      exposed: ['Retry-After', 'Link', '*'],
    });
    app.use((request, response, next) => {
      access(request, response);
      next();
    });
    const resource = (
      path: string | RegExp,
      methods: Record<string, Handler<Request, Response>>,
      acceptPost?: string,
    ) => {
      const allow = [...Object.keys(methods), 'OPTIONS'];
      app.all(
        path,
        byMethod({ ...methods, OPTIONS: (_, response) => sendOptions(response, allow, acceptPost) }),
      );
    };
    // A pattern without groups: Express would decode a parameter, and a topic is decoded once, by `topicOf`.
    resource(
      /^\/v1\/topics(?:\/|$)/,
      {
        GET: this.#measured((request, response) => this.#get(request, response)),
        POST: (request, response) =>
          this.#publish('http', request, (publishing, grant) => publishing.toTopic(grant, request, response)),
        DELETE: this.#measured(async (request, response) =>
          answerDelete(this.#options.archive, await this.#authenticate(request), request, response),
        ),
        SUBSCRIBE: this.#subscription(answerSubscribe),
        UNSUBSCRIBE: this.#subscription(answerUnsubscribe),
      },
      accepted.byTopics,
    );
    resource(
      '/v1/publish',
      {
        POST: (request, response) =>
          this.#publish('http-batch', request, (publishing, grant) =>
            publishing.toAny(grant, request, response),
          ),
      },
      accepted.byPublish,
    );
    resource('/v1/history', {
      GET: this.#measured(async (request, response) => {
        const grant = await this.#authenticate(request);
        const { historyUrl } = this.#options.discovery;
        return answerHistory(this.#options, grant, historyUrl, request, response);
      }),
    });
    resource('/v1/explain', {
      GET: this.#measured(async (request, response) =>
        answerExplain(this.#options.archive, await this.#authenticate(request), request, response),
      ),
    });
    resource('/.well-known/pushfleet', {
      GET: (_, response) => sendJson(response, 200, this.#options.discovery.fleet()),
    });
    app.use((request) => {
      throw new PushfleetError(
        'not_found',
        `There is nothing at ${quote(request.path)}; publish to /v1/topics/<topic>.`,
      );
    });
    // Express knows an error handler by its four parameters.
    app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
      const { cause, code } = PushfleetError.from(error);
      const failed = code === 'internal' && !(error instanceof BodyAborted);
      if (failed) this.#options.log.error({ err: cause ?? error }, 'a request failed');
      refuse(request, response, error);
    });
    return app;
  }

  /** Takes publications in; the request is measured, and part of its publisher's trace. */
  async #publish(
    api: Api,
    request: Request,
    publish: (publishing: Publishing, grant: Grant) => Promise<void>,
  ): Promise<void> {
    const { traceparent, tracestate, baggage } = request.headers as TraceHeaders;
    await this.#options.tracking.request(api, { traceparent, tracestate, baggage }, async (tracked) => {
      const grant = await this.#authenticate(request);
      await publish(new Publishing({ ...this.#options, intake: tracked }), grant);
    });
  }

  /** The same request of what is stored, measured. */
  #measured(handle: (request: Request, response: Response) => Promise<void>): Handler<Request, Response> {
    return (request, response) =>
      this.#options.tracking.request('http-archive', undefined, () => handle(request, response));
  }

  /** A request about a receiver that is called, measured. */
  #subscription(answer: typeof answerSubscribe): Handler<Request, Response> {
    return (request, response) =>
      this.#options.tracking.request('http-subscribe', undefined, async () =>
        answer(this.#options.subscribing, await this.#authenticate(request), request, response),
      );
  }

  async #get(request: Request, response: Response): Promise<void> {
    const target = parseTarget(request.url);
    const topic = parseTopic(topicOf(target));
    const query = readQuery(target.query, ['topic', ...publicationParameters]);
    if (asksForPublication(query)) {
      const grant = await this.#authenticate(request);
      return answerPublication(this.#options, grant, topic, query, request, response);
    }
    const grant = request.headers.authorization === undefined ? undefined : await this.#authenticate(request);
    const { archive, discovery } = this.#options;
    return answerTopic(archive, discovery, grant, topic, response);
  }

  async #authenticate(request: Request): Promise<Grant> {
    // No cookie: a page of another origin could make a browser publish with it.
    const token = bearer({ authorization: request.headers.authorization });
    if (token !== undefined) return this.#options.tokens.check(token);
    throw new PushfleetError(
      'unauthenticated',
      'No token came with the request; send "Authorization: Bearer <token>".',
    );
  }
}
