import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overlap, type Route, readRoutes } from './routes.ts';

const route = (path: string, pathType: Route['pathType']): Route => ({
  name: path,
  service: 's',
  port: 1,
  path,
  pathType,
});

test('no two public paths of the fleet overlap', () => {
  const routes = readRoutes();
  const pairs = routes.flatMap((a, index) => routes.slice(index + 1).map((b) => [a, b] as const));
  assert.deepEqual(
    pairs.filter(([a, b]) => overlap(a, b)),
    [],
  );
});

test('every route is whole, and names are unique', () => {
  const routes = readRoutes();
  assert.equal(new Set(routes.map(({ name }) => name)).size, routes.length);
  for (const { name, service, port, path, pathType } of routes) {
    assert.ok(name && service && Number.isInteger(port), `${name} is whole`);
    assert.match(path, /^\/[^?#\s]*[^/?#\s]$/);
    assert.ok(['Exact', 'Prefix'].includes(pathType));
  }
});

test('overlap is seen where a request belongs to both', () => {
  assert.equal(overlap(route('/a', 'Prefix'), route('/a/b', 'Exact')), true);
  assert.equal(overlap(route('/a/b', 'Exact'), route('/a', 'Prefix')), true);
  assert.equal(overlap(route('/a', 'Exact'), route('/a', 'Prefix')), true);
  assert.equal(overlap(route('/a', 'Exact'), route('/a/b', 'Prefix')), false);
  assert.equal(overlap(route('/a', 'Prefix'), route('/ab', 'Exact')), false);
});
