import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Lifecycle, PushfleetError, parseTopic, quote } from '@pushfleet/core';
import {
  type Address,
  bearer,
  type Grant,
  type Log,
  listening,
  problem,
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

type Handler = (request: Request, response: Response) => void | Promise<void>;

/** A topic of 1,024 bytes and attributes of 8,192 take three times that in escapes. */
const headerBytes = 65_536;

/** The HTTP publish API. */
export class HttpApi implements Lifecycle {
  readonly #options: HttpOptions;
  readonly #server: Server;
  readonly #open = new Set<ServerResponse>();
  #draining = false;
  #idle: (() => void) | undefined;

  constructor(options: HttpOptions) {
    this.#options = options;
    const app = this.#app();
    this.#server = createServer(
      {
        maxHeaderSize: headerBytes,
        headersTimeout: 15_000,
        // Behind the limit of our own on bodies, which answers with a problem document.
        requestTimeout: options.bodyTimeoutMs + 30_000,
        // Longer than load balancers keep theirs, so that none sends into a connection being closed.
        keepAliveTimeout: 75_000,
        connectionsCheckingInterval: 5_000,
      },
      app,
    );
    this.#server.on('checkContinue', app).on('clientError', onClientError);
  }

  /** The port that is listened on. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options.address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    listening(this.#options.log, 'http', this.#server);
  }

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const response of this.#open) closeAfter(response);
    if (this.#open.size === 0 || deadline.aborted) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #app(): Express {
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', false);
    app.enable('strict routing').enable('case sensitive routing');
    app.use((_, response, next) => this.#admit(response, next));
    // A pattern without groups: Express would decode a parameter, and a topic is decoded once, by `topicOf`.
    resource(app, /^\/v1\/topics(?:\/|$)/, {
      GET: (request, response) => this.#describe(request, response),
      POST: (request, response) => this.#publish(request, response),
    });
    resource(app, '/v1/publish', { POST: (request, response) => this.#publishBatch(request, response) });
    resource(app, '/.well-known/pushfleet', {
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

  #admit(response: Response, next: NextFunction): void {
    this.#open.add(response);
    response.once('close', () => {
      this.#open.delete(response);
      if (this.#open.size === 0) this.#idle?.();
    });
    if (!this.#draining) {
      next();
      return;
    }
    closeAfter(response);
    throw new PushfleetError(
      'draining',
      'This instance is shutting down; send the request again, to another.',
    );
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
    const contentType = request.headers['content-type'] ?? '';
    if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(contentType)) {
      throw new PushfleetError(
        'unsupported_media_type',
        `A batch comes as "Content-Type: application/json" in UTF-8, not ${quote(contentType)}.`,
      );
    }
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

function resource(app: Express, path: string | RegExp, methods: Readonly<Record<string, Handler>>): void {
  const allow = Object.keys(methods).flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  app.all(path, (request, response) => {
    const handler = methods[request.method === 'HEAD' ? 'GET' : request.method];
    if (handler !== undefined) return handler(request, response);
    response.setHeader('allow', allow.join(', '));
    throw new PushfleetError(
      'method_not_allowed',
      `${request.method} is not allowed here; use ${allow.join(' or ')}.`,
    );
  });
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}

/** Answers what node:http could not read as a request; there is no response object for it. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answers: Readonly<Record<string, string>> = {
    HPE_HEADER_OVERFLOW: `The request's headers are larger than ${headerBytes} bytes.`,
    ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time.',
  };
  const detail = answers[error.code ?? ''] ?? `The request is not HTTP/1.1 (${error.code ?? 'unknown'}).`;
  const { status, headers, body } = problem(new PushfleetError('request_invalid', detail));
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-length': Buffer.byteLength(body),
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(`HTTP/1.1 ${status} Bad Request\r\n${head}\r\n${body}`);
}
