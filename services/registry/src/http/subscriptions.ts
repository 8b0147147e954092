import { PushfleetError, parseTopicFilter, quote } from '@pushfleet/core';
import {
  type Subscription,
  SubscriptionKind,
  type SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { byMethod, type Grant, type Handler, type RateLimit, type TokenCheck } from '@pushfleet/runtime';
import type { Express, Request, Response } from 'express';
import { everything, grantOf } from './access.ts';
import { readBody, readCreation, readIfMatch, readLimit, readOptionalBody, readQuery } from './request.ts';
import { Deliveries } from './subscriptions/deliveries.ts';
import { attemptJson, letterJson, toJson } from './subscriptions/json.ts';
import { Lifecycle, type LifecycleOptions } from './subscriptions/lifecycle.ts';
import { states } from './subscriptions/names.ts';
import { etagOf, Records } from './subscriptions/records.ts';

export interface SubscriptionOptions extends LifecycleOptions {
  readonly tokens: TokenCheck;
  /** Of each subject: what makes subscriptions, secrets or calls to receivers. */
  readonly rate: RateLimit;
}

type Endpoint = Handler<Request, Response>;

/** Webhooks, for their owners and for managers. */
export function routeSubscriptions(app: Express, options: SubscriptionOptions): void {
  const api = new SubscriptionApi(options);
  const one = '/v1/subscriptions/:id';
  app.all('/v1/subscriptions', byMethod({ GET: api.list, POST: api.create }));
  app.all(one, byMethod({ GET: api.read, PATCH: api.change, DELETE: api.end }));
  app.all(`${one}/pause`, byMethod({ POST: api.pause }));
  app.all(`${one}/resume`, byMethod({ POST: api.resume }));
  app.all(`${one}/rotate-secret`, byMethod({ POST: api.rotate }));
  app.all(`${one}/test`, byMethod({ POST: api.test }));
  app.all(`${one}/replay`, byMethod({ POST: api.replay }));
  app.all(`${one}/attempts`, byMethod({ GET: api.attempts }));
  app.all(`${one}/dead-letters`, byMethod({ GET: api.deadLetters }));
  app.all(`${one}/dead-letters/redeliver`, byMethod({ POST: api.redeliver }));
  app.all(`${one}/dead-letters/:letter/redeliver`, byMethod({ POST: api.redeliver }));
}

class SubscriptionApi {
  readonly #o: SubscriptionOptions;
  readonly #records: Records;
  readonly #lifecycle: Lifecycle;
  readonly #deliveries: Deliveries;

  constructor(options: SubscriptionOptions) {
    this.#o = options;
    this.#records = new Records(options.subscriptions);
    this.#lifecycle = new Lifecycle(options, this.#records);
    this.#deliveries = new Deliveries(options, this.#records);
  }

  readonly list: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    const query = readQuery(request, ['after', 'limit', 'filter', 'state', 'owner']);
    const page = await this.#o.subscriptions.list({
      namespace: grant.namespace,
      kind: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
      pageSize: readLimit(query.limit),
      ...(query.after !== undefined && { pageToken: query.after }),
      ...(query.filter !== undefined && { filter: parseTopicFilter(query.filter) }),
      ...(query.state !== undefined && { state: stateOf(query.state) }),
      ...ownerOf(grant, query),
    });
    response.json({ subscriptions: page.subscriptions.map(toJson), next: page.next });
  };

  readonly create: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const key = request.get('idempotency-key');
    const body = await readCreation(request, response);
    const { subscription, key: shown } = await this.#lifecycle.create(grant, body, key);
    response.status(201).location(`/v1/subscriptions/${subscription.id}`);
    send(response, subscription, shown);
  };

  readonly read: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    const subscription = await this.#records.find(grant, idOf(request));
    send(response, subscription, { backlog: await this.#deliveries.backlog(subscription) });
  };

  readonly change: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const body = await readBody(request, response, ['application/merge-patch+json']);
    send(response, await this.#lifecycle.change(grant, idOf(request), readIfMatch(request), body));
  };

  readonly end: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    await this.#lifecycle.end(grant, idOf(request), readIfMatch(request));
    response.status(204).end();
  };

  readonly pause: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    send(response, await this.#lifecycle.pause(grant, idOf(request)));
  };

  readonly resume: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const body = await readOptionalBody(request, response);
    send(response, await this.#lifecycle.resume(grant, idOf(request), body));
  };

  readonly rotate: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const body = await readOptionalBody(request, response);
    const { subscription, key } = await this.#lifecycle.rotate(grant, idOf(request), body);
    send(response, subscription, key);
  };

  readonly test: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const attempt = await this.#deliveries.test(grant, idOf(request));
    if (attempt === undefined) response.status(202).end();
    else response.json(attemptJson(attempt));
  };

  readonly replay: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    await this.#deliveries.replay(grant, idOf(request), await readBody(request, response));
    response.status(202).end();
  };

  readonly redeliver: Endpoint = async (request, response) => {
    const grant = await this.#limited(request);
    const { letter } = request.params;
    await this.#deliveries.redeliver(grant, idOf(request), letter === undefined ? undefined : String(letter));
    response.status(202).end();
  };

  readonly attempts: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    const { before, limit } = readQuery(request, ['before', 'limit']);
    const page = await this.#deliveries.attempts(grant, idOf(request), before, readLimit(limit));
    response.json({ attempts: page.items.map(attemptJson), next: page.next });
  };

  readonly deadLetters: Endpoint = async (request, response) => {
    const grant = await grantOf(this.#o.tokens, request);
    const { before, limit } = readQuery(request, ['before', 'limit']);
    const page = await this.#deliveries.deadLetters(grant, idOf(request), before, readLimit(limit));
    response.json({ deadLetters: page.items.map(letterJson), next: page.next });
  };

  async #limited(request: Request): Promise<Grant> {
    const grant = await grantOf(this.#o.tokens, request);
    this.#o.rate.require(JSON.stringify([grant.namespace, grant.subject]));
    return grant;
  }
}

const idOf = (request: Request): string => String(request.params.id);

function send(response: Response, subscription: Subscription, more: object = {}): void {
  response.setHeader('etag', etagOf(subscription));
  response.json({ ...toJson(subscription), ...more });
}

/** Whose subscriptions are listed: the caller's own, unless it manages all that is asked for. */
function ownerOf(
  grant: Grant,
  { filter, owner }: { readonly filter?: string; readonly owner?: string },
): { readonly owner?: string } {
  const asked = filter === undefined ? everything : parseTopicFilter(filter);
  if (grant.mayManage(asked)) return owner === undefined ? {} : { owner };
  if (owner !== undefined && owner !== grant.subject) grant.require('manage', asked);
  return { owner: grant.subject };
}

function stateOf(word: string): SubscriptionState {
  if (Object.hasOwn(states, word)) return states[word as keyof typeof states];
  throw new PushfleetError(
    'request_invalid',
    `"state" is one of ${Object.keys(states).join(', ')}, not ${quote(word)}.`,
  );
}
