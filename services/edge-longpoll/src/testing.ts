// What this service's tests share; nothing else imports it.
import {
  publisherOn,
  type Scope,
  secret,
  type TestFooting,
  type TestShared,
  testFooting,
} from '@pushfleet/edge/testing';
import { readConfig } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

export interface TestEdge extends TestFooting {
  readonly edge: Edge;
  readonly port: number;
  readonly url: string;
  readonly publish: ReturnType<typeof publisherOn>;
}

/** An edge on a free port of this machine until the scope ends; `env` as an operator would set it. */
export async function startEdge(
  scope: Scope,
  env: Record<string, string> = {},
  shared: TestShared = {},
): Promise<TestEdge> {
  const config = readConfig(fields, {
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_EDGE_LONGPOLL_LISTEN: '127.0.0.1:0',
    PUSHFLEET_DRAIN_SECONDS: '1',
    ...env,
  });
  const footing = await testFooting(scope, config, 'longpoll', shared);
  const edge = new Edge({ config, ...footing });
  await edge.start();
  scope.after(() => edge.close());
  const { port } = edge.address;
  return { ...footing, edge, port, url: `http://127.0.0.1:${port}`, publish: publisherOn(footing.backbone) };
}
