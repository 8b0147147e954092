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
  /**
   * Clients receive publications here, by the protocol that `name` says: they name their filters in the `query`, or
   * once they are connected, in a `session`.
   */
  readonly channel?: 'query' | 'session';
  /** Whether WebSocket connections are taken here: beside requests (`too`), or nothing else (`only`). */
  readonly websocket?: 'only' | 'too';
}

/** The routes of the checkout's `deploy/routes.json`. */
export function readRoutes(): readonly Route[] {
  const text = readFileSync(new URL('../../../deploy/routes.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { routes: readonly Route[] }).routes;
}

/** The route that a request target belongs to. No two overlap. */
export function routeFor(routes: readonly Route[], target: string): Route | undefined {
  const path = target.split('?', 1)[0] ?? '';
  return routes.find(
    (route) => path === route.path || (route.pathType === 'Prefix' && path.startsWith(`${route.path}/`)),
  );
}
