import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, PushfleetError, parseTopic, type Topic } from '@pushfleet/core';
import { type Grant, parseTarget, topicOf } from '@pushfleet/runtime';
import { answerHeaders, readSubscribe, readUnsubscribe } from '../subscribe/headers.ts';
import type { Subscribing } from '../subscribe/subscribing.ts';
import { readQuery } from './query.ts';

/**
 * Answers `SUBSCRIBE /v1/topics/<topic>`, in the form in which it was asked.
 *
 * @param subscribing undefined where there is no registry
 * @throws PushfleetError
 */
export async function answerSubscribe(
  subscribing: Subscribing | undefined,
  grant: Grant,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const topic = topicIn(request);
  const asked = readSubscribe(request.headers);
  const { form, leaseMs } = asked;
  try {
    const registry = required(subscribing);
    const granted = await (asked.kind === 'new'
      ? registry.subscribe(grant, topic, asked, leaseMs)
      : registry.renew(grant, topic, asked, leaseMs));
    const headers = answerHeaders(form, granted.id, granted.leaseMs);
    response.writeHead(200, { ...headers, 'cache-control': 'no-store', 'content-length': 0 }).end();
  } catch (error) {
    throw form === 'gena' ? asGena(error) : error;
  }
}

/** Answers `UNSUBSCRIBE /v1/topics/<topic>`. @throws PushfleetError */
export async function answerUnsubscribe(
  subscribing: Subscribing | undefined,
  grant: Grant,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const topic = topicIn(request);
  const named = readUnsubscribe(request.headers);
  await required(subscribing).unsubscribe(grant, topic, named);
  response.writeHead(200, { 'cache-control': 'no-store', 'content-length': 0 }).end();
}

function topicIn({ url = '' }: IncomingMessage): Topic {
  const target = parseTarget(url);
  readQuery(target.query, ['topic']);
  return parseTopic(topicOf(target));
}

/** UPnP Device Architecture 1.1, sections 4.1.2 and 4.1.3: who cannot take a subscription answers with a status of 5xx. */
function asGena(error: unknown): unknown {
  if (!(error instanceof PushfleetError) || !full.includes(error.code)) return error;
  const { message, retryAfterMs } = error;
  return new PushfleetError('unavailable', message, {
    cause: error,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

const full: readonly ErrorCode[] = ['rate_limited', 'quota_subscriptions'];

function required(subscribing: Subscribing | undefined): Subscribing {
  if (subscribing !== undefined) return subscribing;
  throw new PushfleetError(
    'unavailable',
    'Subscriptions are kept by the registry, and this instance knows of none; the operator sets PUSHFLEET_REGISTRY_URL.',
  );
}
