import { PushfleetError, parseTopic, quote } from '@pushfleet/core';
import {
  type Address,
  bearer,
  byMethod,
  type Grant,
  type Handler,
  HttpServer,
  type Log,
  requireJson,
  type TokenCheck,
} from '@pushfleet/runtime';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { refuse, resultOf, sendJson } from './answer.ts';
import { BodyAborted, readBody } from './body.ts';
import type { Budget } from './budget.ts';
import type { Discovery } from './discovery.ts';
import { readHeaders } from './http-draft.ts';
import { type Intake, requirePublish } from './intake.ts';
import { readBatch } from './json-draft.ts';
import { parseTarget, topicOf } from './target.ts';

export interface HttpOptions {
  readonly address: Address;
  readonly tokens: TokenCheck;
  readonly intake: Intake;
  readonly budget: Budget;
  readonly discovery: Discovery;
  readonly log: Log;
  /** Largest body of one publication, and of a batch, in bytes. */
  readonly payloadBytes: number;
  readonly batchBytes: number;
  /** Longest time a body may take, in milliseconds. */
  readonly bodyTimeoutMs: number;
}

/** A topic of 1,024 bytes and attributes of 8,192 take three times that in escapes. */
const headerBytes = 65_536;

/** The HTTP publish API, to be started. */
export function createHttpApi(options: HttpOptions): HttpServer {
  return new HttpServer({
    address: options.address,
    handler: new Api(options).app(),
    log: options.log,
    headerBytes,
    // Behind the limit of our own on bodies, which answers with a problem document.
    requestTimeoutMs: options.bodyTimeoutMs + 30_000,
    asksForBodies: true,
  });
}

class Api {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  app(): Express {
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', false);
    app.enable('strict routing').enable('case sensitive routing');
    const resource = (path: string | RegExp, methods: Record<string, Handler<Request, Response>>) =>
      app.all(path, byMethod(methods));
    // A pattern without groups: Express would decode a parameter, and a topic is decoded once, by `topicOf`.
    resource(/^\/v1\/topics(?:\/|$)/, {
      GET: (request, response) => this.#describe(request, response),
      POST: (request, response) => this.#publish(request, response),
    });
    resource('/v1/publish', { POST: (request, response) => this.#publishBatch(request, response) });
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

  async #publish(request: Request, response: Response): Promise<void> {
    const grant = await this.#authenticate(request);
    // Checked before the body is asked for: a large one need not travel to be refused.
    const topic = parseTopic(topicOf(parseTarget(request.url)));
    requirePublish(grant, topic);
    const headers = readHeaders(request);
    const payload = await this.#read(request, response, this.#options.payloadBytes);
    const [answer] = await this.#options.intake.publish(grant, [{ ...headers, topic, payload }]);
    if (answer === undefined || answer instanceof PushfleetError) throw answer;
    sendJson(response, 201, answer);
  }

  async #publishBatch(request: Request, response: Response): Promise<void> {
    const grant = await this.#authenticate(request);
    requireJson(request);
    const drafts = readBatch(await this.#read(request, response, this.#options.batchBytes));
    const answers = await this.#options.intake.publish(grant, drafts);
    sendJson(response, 200, answers.map(resultOf));
  }

  #describe(request: Request, response: Response): void {
    const { link, body } = this.#options.discovery.topic(parseTopic(topicOf(parseTarget(request.url))));
    sendJson(response, 200, body, { link });
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

  #read(request: Request, response: Response, bytes: number): Promise<Buffer> {
    const { budget, bodyTimeoutMs: timeoutMs } = this.#options;
    return readBody(request, response, { bytes, timeoutMs, budget });
  }
}
