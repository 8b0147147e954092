import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PushfleetError, quote } from '@pushfleet/core';
import { detach, Streams, splitTarget, Visit } from '@pushfleet/edge';
import { declareRequests, type Requests, sendProblem } from '@pushfleet/runtime';
import type { Ground, Handler } from '../handler.ts';
import { type Ask, parseAsk, readParameters } from '../request.ts';
import { documentHeaders, type Form, frameForm, streamForm, streamHeaders } from './form.ts';

// For pages that CORS lets read the answer.
const exposed = { 'access-control-expose-headers': 'Pushfleet-Connection, Retry-After' };

const methods = 'GET, HEAD, POST, OPTIONS';
const known = ['topic', 'after', 'retained', 'ticket'];

/** Answers /comet/stream and /comet/frame: streams that end after so many bytes, for browsers that keep them. */
export class Comet implements Handler {
  readonly #ground: Ground;
  readonly #requests: Requests;
  readonly #streams: Streams;
  readonly #take: (socket: Socket) => void;

  /** @param take tells the listener that a socket carries a stream from now on */
  constructor(ground: Ground, take: (socket: Socket) => void) {
    this.#ground = ground;
    this.#take = take;
    this.#requests = declareRequests(ground.metrics, 'comet');
    this.#streams = new Streams(ground);
  }

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { path } = splitTarget(request.url as string);
    const { method = '' } = request;
    const error = misdirected(path, method);
    if (error !== undefined) {
      if (error.code === 'method_not_allowed') response.setHeader('allow', methods);
      this.#ground.refused(error);
      sendProblem(response, error);
    } else if (method === 'HEAD') {
      response.writeHead(200, path === '/comet/frame' ? documentHeaders : streamHeaders).end();
    } else if (method === 'OPTIONS') {
      response.writeHead(204, { allow: methods, ...this.#ground.cors.preflight(request.headers) }).end();
    } else {
      this.#begin(request, response);
    }
  }

  /** A request of GET whose socket has left node:http. */
  onDetached(request: IncomingMessage): void {
    void this.#admit(request);
  }

  close(): void {}

  #begin(request: IncomingMessage, response: ServerResponse): void {
    this.#take(request.socket);
    if (request.method === 'GET') detach(request, response);
    else void this.#admit(request);
  }

  async #admit(request: IncomingMessage): Promise<void> {
    const { cors, admission, config } = this.#ground;
    const visit = new Visit(request, { ...cors.headers(request.headers), ...exposed });
    const { path } = splitTarget(request.url as string);
    const form = path === '/comet/frame' ? frameForm(visit, config.corsOrigins) : streamForm(visit);
    try {
      const { ask, grant } = await admission.admit({
        headers: form.asker,
        read: () => this.#read(request),
        returning: ({ after }) => after !== undefined,
        onCookie: (setCookie) => {
          visit.answerHeaders['set-cookie'] = setCookie;
        },
      });
      const serving = { ...form, bytes: config.responseBytes, requests: this.#requests };
      this.#streams.open(visit, grant, ask, serving);
    } catch (thrown) {
      this.#refuse(visit, form, thrown);
    }
  }

  async #read(request: IncomingMessage): Promise<Ask> {
    const { bodyBytes, filters } = this.#ground.config;
    return parseAsk(await readParameters(request, bodyBytes), { known, filters });
  }

  #refuse(visit: Visit, form: Form, thrown: unknown): void {
    this.#requests.ended(visit.since, thrown);
    this.#ground.refused(thrown);
    form.refuse(thrown);
  }
}

function misdirected(path: string, method: string): PushfleetError | undefined {
  if (path !== '/comet/stream' && path !== '/comet/frame') {
    return new PushfleetError('not_found', 'Comet is at /comet/stream and /comet/frame.');
  }
  if (methods.split(', ').includes(method)) return undefined;
  return new PushfleetError(
    'method_not_allowed',
    `${quote(method)} is not a method of ${path}; use ${methods}.`,
  );
}
