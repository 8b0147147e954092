import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Route, readRoutes, routeFor } from './routes.ts';

const routes = readRoutes();

describe('the routes of the fleet', () => {
  const covers = (route: Route, { path }: Route): boolean => routeFor([route], path) !== undefined;

  it('do not overlap', () => {
    const pairs = routes.flatMap((a) => routes.filter((b) => a !== b).map((b) => [a, b] as const));
    assert.deepEqual(
      pairs.filter(([a, b]) => covers(a, b)),
      [],
    );
  });

  it('are whole, with names of their own', () => {
    assert.equal(new Set(routes.map(({ name }) => name)).size, routes.length);
    for (const { name, service, port, path, pathType } of routes) {
      assert.ok(name && service && Number.isInteger(port), `${name} is whole`);
      assert.match(path, /^\/[^?#\s]*[^/?#\s]$/);
      assert.ok(['Exact', 'Prefix'].includes(pathType));
    }
  });

  for (const [target, service] of [
    ['/sse?topic=a', 'edge-sse'],
    ['/ws', 'edge-websocket'],
    ['/poll?topic=a', 'edge-longpoll'],
    ['/comet/stream?topic=a', 'edge-longpoll'],
    ['/comet/frame?topic=a', 'edge-longpoll'],
    ['/bayeux', 'edge-longpoll'],
    ['/bayeux/handshake', 'edge-longpoll'],
    ['/mqtt', 'edge-mqtt'],
    ['/mqtt/x', undefined],
    ['/v1/topics?topic=a', 'publish'],
    ['/v1/topics/a//b/', 'publish'],
    ['/v1/publish', 'publish'],
    ['/v1/history?topic=a', 'publish'],
    ['/v1/explain?id=a', 'publish'],
    ['/.well-known/pushfleet', 'publish'],
    ['/v1/tickets', 'registry'],
    ['/v1/revocations?limit=1', 'registry'],
    ['/v1/revocations/some-id', 'registry'],
    ['/v1/topicsmore', undefined],
    ['/', undefined],
  ] as const) {
    it(`${target} belongs to ${service ?? 'nobody'}`, () =>
      assert.equal(routeFor(routes, target)?.service, service));
  }
});

for (const [pathType, path, target, belongs] of [
  ['Prefix', '/a', '/a', true],
  ['Prefix', '/a', '/a/b', true],
  ['Prefix', '/a', '/ab', false],
  ['Exact', '/a', '/a', true],
  ['Exact', '/a', '/a/b', false],
] as const) {
  it(`${target} ${belongs ? 'is' : 'is not'} of the ${pathType} path ${path}`, () =>
    assert.equal(
      routeFor([{ name: 'n', service: 's', port: 1, path, pathType }], target) !== undefined,
      belongs,
    ));
}
