import { readFileSync } from 'node:fs';

/** One public path of the fleet. `deploy/routes.json` lists them for the front, the charts and discovery. */
export interface Route {
  readonly name: string;
  readonly service: string;
  /** The service's default port. */
  readonly port: number;
  readonly path: string;
  /** As in a Kubernetes Ingress: this very path, or everything below it too. */
  readonly pathType: 'Exact' | 'Prefix';
  /** Clients receive publications here, by the protocol that `name` says. */
  readonly channel?: boolean;
}

/** The routes of a `routes.json`, the repository's own by default. */
export function readRoutes(
  file: URL = new URL('../../../deploy/routes.json', import.meta.url),
): readonly Route[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { routes: readonly Route[] }).routes;
}

/** Whether some request path belongs to both. */
export function overlap(a: Route, b: Route): boolean {
  return within(a, b.path) || within(b, a.path);
}

function within(route: Route, path: string): boolean {
  return path === route.path || (route.pathType === 'Prefix' && path.startsWith(`${route.path}/`));
}
