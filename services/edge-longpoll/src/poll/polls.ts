import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Cursor, type Item, PushfleetError, quote } from '@pushfleet/core';
import type { Delivery } from '@pushfleet/hub';
import { connectionId, declareRequests, type Grant, type Requests, sendProblem } from '@pushfleet/runtime';
import type { Ground, Handler } from '../handler.ts';
import { readParameters } from '../request.ts';
import { encodeBatch, encodeItem } from './codec.ts';
import { tagOf } from './etag.ts';
import { Poll } from './poll.ts';
import { type PollAsk, parsePoll } from './request.ts';

const methods = 'GET, HEAD, POST, OPTIONS';

const pollHeaders = {
  'cache-control': 'no-store',
  // No page of another origin may load an answer as a script or anything else.
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  vary: 'Origin, Prefer',
} as const;
const json = { 'content-type': 'application/json' } as const;

// How long a client may take no byte of its answer.
const stuckMs = 30_000;

/** Answers /poll. */
export class Polls implements Handler {
  readonly #ground: Ground;
  readonly #requests: Requests;
  #waiting = 0;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.#requests = declareRequests(ground.metrics, 'poll');
    ground.metrics.gauge(
      'pushfleet_edge_polls',
      { description: 'Polls that wait for an answer.' },
      () => this.#waiting,
    );
  }

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { method = '' } = request;
    // For pages that CORS lets read the answer.
    response.setHeader('access-control-expose-headers', 'ETag, Preference-Applied, Retry-After');
    if (method === 'GET' || method === 'POST') void this.#admit(request, response);
    else if (method === 'HEAD') response.writeHead(200, { ...pollHeaders, ...json }).end();
    else if (method === 'OPTIONS') {
      response.writeHead(204, { allow: methods, ...this.#ground.cors.preflight(request.headers) }).end();
    } else {
      response.setHeader('allow', methods);
      const error = `${quote(method)} is not a method of /poll; use ${methods}.`;
      this.#refuse(response, performance.now(), new PushfleetError('method_not_allowed', error));
    }
  }

  close(): void {}

  async #admit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const since = performance.now();
    try {
      const { ask, grant } = await this.#ground.admission.admit({
        headers: request.headers,
        read: () => this.#read(request),
        returning: ({ after }) => after !== undefined,
        onCookie: (setCookie) => response.setHeader('set-cookie', setCookie),
      });
      // A client that left while it was being identified is told of no more.
      if (!response.closed) this.#wait(response, ask, grant, since);
    } catch (thrown) {
      this.#refuse(response, since, thrown);
    }
  }

  async #read(request: IncomingMessage): Promise<PollAsk> {
    const { config } = this.#ground;
    return parsePoll(request.headers, await readParameters(request, config.bodyBytes), config);
  }

  /** @throws PushfleetError as `Connections.room` and the hub do; nothing is written then */
  #wait(response: ServerResponse, ask: PollAsk, grant: Grant, since: number): void {
    const { connections } = this.#ground;
    const release = connections.room(grant, ask.filters.length);
    let poll: Poll;
    try {
      poll = this.#poll(response, ask, grant);
    } catch (error) {
      release();
      throw error;
    }
    const forget = connections.keep(poll);
    this.#waiting++;
    response.once('close', () => {
      this.#waiting--;
      poll.gone();
      release();
      forget();
    });
    poll.begin().then(
      () => this.#requests.ended(since),
      (error) => this.#requests.ended(since, error),
    );
  }

  #poll(response: ServerResponse, ask: PollAsk, grant: Grant): Poll {
    const { hubs, connections, wheel, config } = this.#ground;
    const end = (status: number, cursor: Cursor, body?: Buffer): void => {
      this.#hasten(response);
      response.writeHead(status, {
        ...pollHeaders,
        etag: tagOf(cursor),
        ...(ask.applied !== undefined && { 'preference-applied': ask.applied }),
        ...(body !== undefined && { ...json, 'content-length': body.length }),
      });
      response.end(body);
    };
    return new Poll({
      ...{ ask, grant, wheel },
      connection: connectionId(grant),
      hub: hubs.of(grant.namespace),
      deadline: connections.deadline(grant),
      limits: config,
      now: Date.now,
      answer: {
        batch: (cursor, items) => this.#write(items, (bytes) => end(200, cursor, encodeBatch(cursor, bytes))),
        nothing: (cursor) => end(204, cursor),
        refuse: (error) => {
          this.#ground.refused(error);
          this.#hasten(response);
          sendProblem(response, error, '/poll');
        },
        cut: () => response.destroy(),
      },
    });
  }

  #write(items: readonly Item<Delivery>[], end: (bytes: readonly Buffer[]) => void): void {
    const { deliveries, written } = this.#ground;
    const bytes = items.map(encodeItem);
    const done = deliveries.writing(items);
    end(bytes);
    done?.();
    written.deliveries += items.length;
    for (const { length } of bytes) written.bytes += length;
  }

  /** Sees to it that who is asked to go goes, and who does not read does not stay. */
  #hasten(response: ServerResponse): void {
    if (this.#ground.isDraining()) response.setHeader('connection', 'close');
    response.setTimeout(stuckMs);
  }

  #refuse(response: ServerResponse, since: number, thrown: unknown): void {
    this.#requests.ended(since, thrown);
    this.#ground.refused(thrown);
    this.#hasten(response);
    if (!response.closed) sendProblem(response, thrown, '/poll');
  }
}
