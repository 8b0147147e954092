import assert from 'node:assert/strict';
import { test } from 'node:test';
import { root } from '../local/state.ts';
import { readRoutes, serviceFor } from './routes.ts';

const routes = readRoutes(root);

for (const [target, service] of [
  ['/sse?topic=a', 'edge-sse'],
  ['/v1/topics?topic=a', 'publish'],
  ['/v1/topics/a//b/', 'publish'],
  ['/v1/publish', 'publish'],
  ['/.well-known/pushfleet', 'publish'],
  ['/v1/tickets', 'registry'],
  ['/v1/revocations?limit=1', 'registry'],
  ['/v1/revocations/some-id', 'registry'],
  ['/v1/topicsmore', undefined],
  ['/', undefined],
] as const) {
  test(`${target} belongs to ${service ?? 'nobody'}`, () =>
    assert.equal(serviceFor(routes, target), service));
}
