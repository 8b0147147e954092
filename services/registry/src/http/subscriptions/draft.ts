import { hash } from 'node:crypto';
import { PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { authorityOf } from '@pushfleet/delivery';
import { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { recordLimits } from '../../subscriptions/limits.ts';
import { bodyCheck } from '../check-body.ts';
import { creation } from '../schema/subscription.ts';
import { newKey, type Signing } from './keys.ts';
import { formats, handshakes, states } from './names.ts';

/** What can be changed later, and its place in the record. */
export interface Settings {
  readonly filter?: string;
  readonly url?: string;
  readonly format?: keyof typeof formats;
  readonly types?: readonly string[] | null;
  readonly expression?: string | null;
  readonly headers?: Readonly<Record<string, string | null>> | null;
  readonly rate?: number | null;
  readonly concurrency?: number | null;
  readonly ordered?: boolean;
  readonly timeout?: number | null;
  readonly description?: string | null;
  readonly expiresAt?: string | null;
  readonly lease?: number;
}

interface Creation extends Settings {
  readonly id?: string;
  readonly event?: string;
  readonly target_url?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly handshake?: Exclude<keyof typeof handshakes, 'notify'>;
  readonly signing?: Signing;
  readonly secret?: string;
}

const checked = bodyCheck<Creation>(creation);

/**
 * The record that the body of a creation asks for, with its secret.
 *
 * @param key the request's Idempotency-Key
 * @throws PushfleetError `request_invalid`, `filter_invalid`, `forbidden`
 */
export function readDraft(body: unknown, grant: Grant, key: string | undefined, now: number): Subscription {
  const wanted = checked(body);
  const { handshake = 'echo', signing = 'hmac', format = 'binary' } = wanted;
  const filter = parseTopicFilter((wanted.filter ?? wanted.event) as string);
  const expiresAt = endOf(wanted, now);
  return Subscription.fromPartial({
    namespace: grant.namespace,
    id: idOf(wanted.id, grant, key),
    filter,
    selection: selectionOf(wanted.types, wanted.expression),
    authority: authorityOf(grant, filter),
    state: handshake === 'none' ? states.active : states.pending,
    description: wanted.description ?? '',
    ...(expiresAt && { expiresAt }),
    target: {
      $case: 'webhook',
      webhook: {
        url: (wanted.url ?? wanted.target_url) as string,
        format: formats[format],
        secrets: [newKey(signing, wanted.secret, now)],
        headers: Object.entries(wanted.headers ?? {}).map(([name, value]) => ({ name, value })),
        ratePerSecond: wanted.rate ?? 0,
        concurrency: wanted.concurrency ?? 0,
        ordered: wanted.ordered ?? false,
        handshake: handshakes[handshake],
        timeoutMs: (wanted.timeout ?? 0) * 1_000,
      },
    },
  });
}

/** With a key it follows from who asks and the key alone: a request that is sent again finds what is stored. */
function idOf(given: string | undefined, grant: Grant, key: string | undefined): string {
  if (key === undefined) return given ?? '';
  // Whoever knows an id is not who made it: only the key itself may show the secret again.
  if (given !== undefined) {
    throw invalid('Give an "id" or the header Idempotency-Key; either makes it safe to repeat.');
  }
  if (!/^[\x21-\x7e]{1,256}$/.test(key)) {
    throw invalid('An Idempotency-Key is 1 to 256 visible ASCII characters.');
  }
  return `i_${hash('sha256', JSON.stringify([grant.subject, key]), 'base64url')}`;
}

export function selectionOf(
  types: readonly string[] | null | undefined,
  expression: string | null | undefined,
): { types: string[]; expression: string } | undefined {
  const selection = { types: [...(types ?? [])], expression: expression ?? '' };
  return selection.types.length === 0 && selection.expression === '' ? undefined : selection;
}

/** When it ends, as `expiresAt` or `lease` say. @throws PushfleetError `request_invalid` */
export function endOf({ expiresAt, lease }: Settings, now: number): Date | undefined {
  if (lease !== undefined) return new Date(now + lease * 1_000);
  if (expiresAt == null) return undefined;
  const end = new Date(expiresAt.toUpperCase());
  const leftMs = end.getTime() - now;
  if (leftMs > 0 && leftMs <= recordLimits.leaseMs) return end;
  throw invalid('"expiresAt" lies ahead, by at most ten years; a subscription is ended by deleting it.');
}

const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
