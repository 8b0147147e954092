import { pageDefault, pageMost } from '../request.ts';
import { attempt, deadLetter, replay } from '../schema/delivery.ts';
import { answer, type Schema, text } from '../schema/json-schema.ts';
import {
  change,
  creation,
  filter,
  resumption,
  rotation,
  state,
  subscription,
  subscriptionHealth,
  subscriptionSecret,
} from '../schema/subscription.ts';
import { inHeader, inPath, inQuery, type Operation, operation } from './operation.ts';

const of = (o: Omit<Operation, 'tag'>): Schema => operation({ tag: 'subscriptions', ...o });

const id = inPath('id', 'The id of the subscription.', { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' });
const ifMatch = inHeader('If-Match', 'Only while its ETag is this one.', {
  type: 'string',
  pattern: '^("[0-9]+"|\\*)$',
});
const limit = inQuery('limit', 'Most entries of the page.', {
  type: 'integer',
  minimum: 1,
  maximum: pageMost,
  default: pageDefault,
});
const before = inQuery('before', 'The "next" of the page before.', {
  type: 'string',
  pattern: '^[1-9][0-9]{0,14}$',
});
const etag = { ETag: text('Its revision, for If-Match.') };
const next = text('For the next page; absent: this was the last.');

const list = (name: string, items: Schema): Schema =>
  answer({ [name]: { type: 'array', items, maxItems: pageMost }, next }, name);

/** Where a new subscription is used: for people, and for programs that walk through the API. */
const links = Object.fromEntries(
  'readSubscription changeSubscription pauseSubscription resumeSubscription rotateSecret testSubscription listAttempts listDeadLetters endSubscription'
    .split(' ')
    .map((operationId) => [operationId, { operationId, parameters: { id: '$response.body#/id' } }]),
);

const shown = (description: string): Operation['answers'] => ({
  200: { description, schema: subscription, headers: etag },
});

export const subscriptionPaths: Schema = {
  '/v1/subscriptions': {
    get: of({
      id: 'listSubscriptions',
      summary: "The caller's webhooks, in the order of their ids",
      description:
        'Everybody\'s, for a token that manages the filter that is asked for, or "#" where none is.',
      parameters: [
        inQuery('after', 'The "next" of the page before.'),
        limit,
        inQuery('filter', 'Only those with exactly this filter.', filter),
        inQuery('state', 'Only those in this state.', state),
        inQuery('owner', 'Only those of this sub.'),
      ],
      answers: { 200: { description: 'A page of them.', schema: list('subscriptions', subscription) } },
      problems: ['filter_invalid'],
    }),
    post: of({
      id: 'createSubscription',
      summary: 'Have publications posted to a URL',
      description:
        'The receiver is asked whether it wants that, and the answer waits for it for ten seconds; without an answer until then the subscription is pending, and the receiver is asked again later. The secret is in this answer and in no other.',
      parameters: [
        inHeader(
          'Idempotency-Key',
          'Sent again with the same key, the request is answered the same for an hour.',
          {
            type: 'string',
            pattern: '^[\\x21-\\x7e]{1,256}$',
          },
        ),
        inQuery('topic', 'The filter, in place of that of the body.', filter),
        inHeader('X-Callback', 'The URL, in place of that of the body. With both there need be no body.', {
          type: 'string',
          pattern: '^https?://[\\x21-\\x22\\x24-\\x7e]+$',
          examples: ['https://shop.example.com/hooks/orders'],
        }),
      ],
      body: creation,
      bodyOptional: true,
      answers: {
        201: {
          description: 'It is stored.',
          schema: subscriptionSecret,
          headers: { ...etag, Location: { type: 'string', format: 'uri-reference' } },
          links,
        },
      },
      problems: [
        'filter_invalid',
        'target_refused',
        'handshake_failed',
        'conflict',
        'rate_limited',
        'quota_subscriptions',
        'storage_full',
        'not_found',
      ],
    }),
  },
  '/v1/subscriptions/{id}': {
    parameters: [id],
    get: of({
      id: 'readSubscription',
      summary: 'A webhook, and how it is doing',
      answers: { 200: { description: 'It is there.', schema: subscriptionHealth, headers: etag } },
      problems: ['not_found'],
    }),
    patch: of({
      id: 'changeSubscription',
      summary: 'Change a webhook',
      description:
        'A merge patch (RFC 7396): null removes, what is absent stays. A receiver at a new URL is asked first whether it wants to be called; until it does so within ten seconds nothing changes. Only the owner can change the filter.',
      parameters: [ifMatch],
      body: change,
      bodyType: 'application/merge-patch+json',
      answers: shown('It is changed.'),
      problems: [
        'filter_invalid',
        'target_refused',
        'handshake_failed',
        'not_found',
        'conflict',
        'precondition_failed',
        'rate_limited',
        'storage_full',
      ],
    }),
    delete: of({
      id: 'endSubscription',
      summary: 'End a webhook',
      description: 'What is queued for it is dropped, and its attempts and dead letters are removed.',
      parameters: [ifMatch],
      answers: { 204: { description: 'It has ended.' } },
      problems: ['not_found', 'conflict', 'precondition_failed'],
    }),
  },
  '/v1/subscriptions/{id}/pause': {
    parameters: [id],
    post: of({
      id: 'pauseSubscription',
      summary: 'Keep what is published for later',
      answers: shown('It is paused.'),
      problems: ['not_found', 'conflict', 'storage_full'],
    }),
  },
  '/v1/subscriptions/{id}/resume': {
    parameters: [id],
    post: of({
      id: 'resumeSubscription',
      summary: 'Deliver again',
      description:
        'A paused one goes on with what was kept, a suspended one with what "from" says. The receiver of a pending one is asked again.',
      body: resumption,
      bodyOptional: true,
      answers: shown('It is active, or pending until its receiver answers.'),
      problems: [
        'cursor_invalid',
        'not_found',
        'conflict',
        'handshake_failed',
        'rate_limited',
        'storage_full',
      ],
    }),
  },
  '/v1/subscriptions/{id}/rotate-secret': {
    parameters: [id],
    post: of({
      id: 'rotateSecret',
      summary: 'Sign with a new secret',
      description:
        'Deliveries carry both signatures until the overlap is over. An older secret than these two ends at once.',
      body: rotation,
      bodyOptional: true,
      answers: {
        200: { description: 'The new one signs.', schema: subscriptionSecret, headers: etag },
      },
      problems: ['not_found', 'conflict', 'rate_limited', 'storage_full'],
    }),
  },
  '/v1/subscriptions/{id}/test': {
    parameters: [id],
    post: of({
      id: 'testSubscription',
      summary: 'Call the receiver once, with a publication of type pushfleet.hook.test',
      answers: {
        200: { description: 'What came of it.', schema: attempt },
        202: { description: 'The receiver has not been called within ten seconds; it is called later.' },
      },
      problems: ['not_found', 'conflict', 'rate_limited', 'storage_full'],
    }),
  },
  '/v1/subscriptions/{id}/replay': {
    parameters: [id],
    post: of({
      id: 'replaySubscription',
      summary: 'Deliver what was published before, again',
      description: 'A delivery that was made before has the same webhook-id.',
      body: replay,
      answers: { 202: { description: 'It is on record.' } },
      problems: ['cursor_invalid', 'not_found', 'conflict', 'rate_limited', 'storage_full'],
    }),
  },
  '/v1/subscriptions/{id}/attempts': {
    parameters: [id],
    get: of({
      id: 'listAttempts',
      summary: 'The calls to the receiver, newest first',
      parameters: [before, limit],
      answers: { 200: { description: 'A page of them.', schema: list('attempts', attempt) } },
      problems: ['not_found'],
    }),
  },
  '/v1/subscriptions/{id}/dead-letters': {
    parameters: [id],
    get: of({
      id: 'listDeadLetters',
      summary: 'The deliveries that were given up, newest first',
      parameters: [before, limit],
      answers: { 200: { description: 'A page of them.', schema: list('deadLetters', deadLetter) } },
      problems: ['not_found'],
    }),
  },
  '/v1/subscriptions/{id}/dead-letters/redeliver': {
    parameters: [id],
    post: of({
      id: 'redeliverDeadLetters',
      summary: 'Deliver all dead letters again, with a full schedule of attempts',
      answers: { 202: { description: 'It is on record.' } },
      problems: ['not_found', 'conflict', 'rate_limited', 'storage_full'],
    }),
  },
  '/v1/subscriptions/{id}/dead-letters/{letter}/redeliver': {
    parameters: [id, inPath('letter', 'The letter.')],
    post: of({
      id: 'redeliverDeadLetter',
      summary: 'Deliver a dead letter again, with a full schedule of attempts',
      answers: { 202: { description: 'It is on record.' } },
      problems: ['not_found', 'conflict', 'rate_limited', 'storage_full'],
    }),
  },
};
