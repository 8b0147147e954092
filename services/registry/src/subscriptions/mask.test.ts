import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  Subscription,
  SubscriptionState,
  WebhookFormat,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import fc from 'fast-check';
import { applyMask } from './mask.ts';
import { draft, webhook, websub } from './testing.ts';

const held = draft({
  selection: { types: ['x'], expression: '' },
  id: 'a',
  revision: 7n,
  createdAt: new Date(1_000),
  updatedAt: new Date(2_000),
});
const wanted = draft({
  ...Subscription.fromPartial({}),
  namespace: 'other',
  id: 'b',
  revision: 9n,
  filter: 'invoices/#',
  selection: { types: ['a', 'b'], expression: 'true' },
  authority: { subject: 'bob', tokenId: 'other', issuedAt: new Date(5), subscribeGrants: ['#'] },
  state: SubscriptionState.SUBSCRIPTION_STATE_PAUSED,
  stateReason: 'because',
  startCursor: 'g-1-1',
  expiresAt: new Date('2030-01-01T00:00:00Z'),
  description: 'another',
  failingSince: new Date(9),
  target: webhook({
    url: 'https://other.example/',
    format: WebhookFormat.WEBHOOK_FORMAT_VERBATIM,
    secrets: [],
    headers: [],
    ratePerSecond: 5,
    ordered: true,
  }),
});

// Each path, and what it reads.
const get = (path: string, from: Subscription): unknown => {
  const [top = '', field] = path.split('.').map((name) => name.replace(/_(\w)/g, (_, c) => c.toUpperCase()));
  const at =
    top === 'webhook' && from.target?.$case === 'webhook' ? from.target.webhook : from[top as 'filter'];
  return field === undefined ? at : (at as unknown as Record<string, unknown> | undefined)?.[field];
};
const paths = [
  'filter',
  'selection',
  'selection.types',
  'selection.expression',
  'authority',
  'authority.subject',
  'authority.token_id',
  'authority.issued_at',
  'authority.subscribe_grants',
  'state',
  'state_reason',
  'start_cursor',
  'expires_at',
  'description',
  'failing_since',
  'webhook',
  'webhook.url',
  'webhook.format',
  'webhook.secrets',
  'webhook.headers',
  'webhook.rate_per_second',
  'webhook.concurrency',
  'webhook.ordered',
  'webhook.handshake',
  'webhook.timeout_ms',
];

const never = ['namespace', 'id', 'revision', 'created_at', 'updated_at', 'state_since'];

describe('applyMask', () => {
  it('takes what the mask names, and nothing else', () => {
    fc.assert(
      fc.property(fc.subarray(paths, { minLength: 1 }), (mask) => {
        const result = applyMask(held, wanted, mask);
        for (const path of paths) {
          const [top = ''] = path.split('.');
          const taken = mask.includes(path) || mask.includes(top);
          const partly = !path.includes('.') && mask.some((other) => other.startsWith(`${path}.`));
          if (taken || !partly) assert.deepEqual(get(path, result), get(path, taken ? wanted : held), path);
        }
        for (const path of never) assert.deepEqual(get(path, result), get(path, held), path);
      }),
    );
  });

  it('gives the same in whatever order the paths stand', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(paths, { minLength: 1 }), (mask) => {
        assert.deepEqual(applyMask(held, wanted, mask), applyMask(held, wanted, mask.toSorted()));
      }),
    );
  });

  it('takes a field away that was not sent', () => {
    const full = { ...held, selection: { types: ['x'], expression: '' }, expiresAt: new Date(1) };
    const result = applyMask(full, { ...wanted, selection: undefined, expiresAt: undefined }, [
      'selection',
      'expires_at',
    ]);
    assert.deepEqual([result.selection, result.expiresAt], [undefined, undefined]);
  });

  it('refuses paths that name nothing that can be changed', () => {
    for (const path of [
      ...['', '*', 'id', 'namespace', 'revision', 'created_at', 'updated_at', 'state_since', 'stateReason'],
      ...['state.x', 'webhook.', 'webhook.rate', 'webhook.ratePerSecond', 'webhook.url.x', '.url', 'target'],
      ...['constructor', '__proto__', 'webhook.__proto__', 'webhook.constructor', 'selection.toString'],
    ]) {
      assert.throws(() => applyMask(held, wanted, [path]), { code: 'request_invalid' }, path);
    }
    assert.throws(() => applyMask(held, wanted, []), { code: 'request_invalid' });
    applyMask(
      held,
      wanted,
      Array.from({ length: 64 }, () => 'state'),
    );
    assert.throws(
      () =>
        applyMask(
          held,
          wanted,
          Array.from({ length: 65 }, () => 'state'),
        ),
      {
        code: 'request_invalid',
      },
    );
  });

  it('never changes the kind', () => {
    for (const path of ['websub', 'websub.callback', 'webhook.url']) {
      assert.throws(() => applyMask(held, { ...wanted, target: websub() }, [path]), {
        code: 'request_invalid',
        message: /kind never changes/,
      });
    }
    assert.throws(() => applyMask(held, { ...wanted, target: undefined }, ['webhook']), {
      code: 'request_invalid',
    });
  });
});
