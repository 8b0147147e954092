import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A public path of the fleet; deploy/routes.json lists them for the front, the charts and discovery. */
export interface Route {
  readonly service: string;
  readonly path: string;
  /** As in a Kubernetes Ingress: this very path, or everything below it too. */
  readonly pathType: 'Exact' | 'Prefix';
}

export function readRoutes(root: string): readonly Route[] {
  const text = readFileSync(join(root, 'deploy/routes.json'), 'utf8');
  return (JSON.parse(text) as { routes: readonly Route[] }).routes;
}

/** The service that a request target belongs to. No two routes overlap. */
export function serviceFor(routes: readonly Route[], target: string): string | undefined {
  const path = target.split('?', 1)[0] ?? '';
  const within = (route: Route): boolean =>
    path === route.path || (route.pathType === 'Prefix' && path.startsWith(`${route.path}/`));
  return routes.find(within)?.service;
}
