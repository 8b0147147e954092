import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { until } from '@pushfleet/contract';
import { trial } from '../trial.ts';
import { behaviours, Receivers } from '../webhook-receivers.ts';
import { HookManager } from '../webhooks.ts';
import type { Compose } from './compose.ts';

/** How much is published, to how many, while something is killed. */
export interface Size {
  readonly publications: number;
  readonly publishers: number;
  readonly clients: number;
  readonly rate: number;
}

const patienceMs = 120_000;

/**
 * Publishes by gRPC to clients of every protocol and to a webhook, has something killed in the middle of it, and checks
 * that all that was acknowledged came to everybody, to who is connected in order.
 *
 * @returns how many publications were acknowledged
 */
export async function underKill(
  fleet: Compose,
  size: Size,
  disturb: (fleet: Compose) => Promise<void>,
): Promise<number> {
  const token = await fleet.token({ sub: 'owner', subscribe: ['#'], manage: true });
  const hooks = await Receivers.open(await fleet.gateway());
  try {
    const name = randomUUID();
    const url = hooks.add(name, behaviours.well);
    const manager = new HookManager(fleet, token);
    const hook = await manager.create({ filter: 'load/#', url, handshake: 'none' });
    hooks.trust(name, hook.secret);
    const acknowledged = await trial(fleet, { ...size, disturb });
    const missing = (): string[] => {
      const came = new Set(hooks.of(name).map(({ body }) => body));
      return acknowledged.map((load) => JSON.stringify(load)).filter((text) => !came.has(text));
    };
    await until(() => missing().length === 0, 'the webhook to be given all', patienceMs).catch(() => {});
    const left = missing();
    assert.deepEqual(left.slice(0, 5), [], `${left.length} publications did not come to the webhook`);
    assert.ok(hooks.of(name).every(({ signed }) => signed));
    await manager.done('DELETE', `/${hook.id}`);
    return acknowledged.length;
  } finally {
    hooks.close();
  }
}

/** SIGKILL to one instance of each of these services at once; each is started again and waited for. */
export const killed =
  (...services: readonly string[]) =>
  async (fleet: Compose): Promise<void> => {
    const instances = await Promise.all(services.map((service) => fleet.kill(service)));
    await Promise.all(instances.map((instance) => fleet.start(instance)));
  };

/** SIGKILL to whichever Redis is the primary; it is started again once Sentinel has made another one. */
export async function primaryKilled(fleet: Compose): Promise<void> {
  const before = await fleet.primary();
  const instance = await fleet.kill(before);
  await until(async () => (await fleet.primary()) !== before, 'Sentinel to make another primary', patienceMs);
  await fleet.start(instance);
}
