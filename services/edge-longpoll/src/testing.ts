// What this service's tests share; nothing else imports it.
import {
  type Scope,
  type Started,
  startOn,
  type TestShared,
  testEnv,
  testFooting,
} from '@pushfleet/edge/testing';
import { readConfig } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

export interface TestEdge extends Started<Edge> {
  readonly url: string;
}

/** An edge on a free port of this machine until the scope ends; `env` as an operator would set it. */
export async function startEdge(
  scope: Scope,
  env: Record<string, string> = {},
  shared: TestShared = {},
): Promise<TestEdge> {
  const config = readConfig(fields, testEnv('LONGPOLL', env));
  const footing = await testFooting(scope, config, 'longpoll', shared);
  const started = await startOn(scope, footing, new Edge({ config, ...footing }));
  return { ...started, url: `http://127.0.0.1:${started.port}` };
}
