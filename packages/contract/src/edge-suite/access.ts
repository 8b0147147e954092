import assert from 'node:assert/strict';
import type { Receiver } from './receiver.ts';
import type { Scene } from './scene.ts';
import type { Holder, Refused } from './under-test.ts';

/** A filter that no grant covers is refused, also beside one that is covered, and nothing of it comes. */
export async function forbidden(scene: Scene): Promise<void> {
  const token = await scene.fleet.token({ ...scene.holder, subscribe: ['mine/+'] });
  for (const filters of [['mine/#'], ['mine/a', 'others'], ['$presence/mine/a'], ['#']]) {
    await assert.rejects(scene.open(0, filters, { token }), { code: 'forbidden' }, filters.join(' '));
  }
  const receiver = await scene.open(0, ['mine/+'], { token });
  await scene.publish(['others', 'mine/a/b']);
  const sent = await scene.publish(['mine/a']);
  await receiver.has(sent);
  assert.deepEqual(receiver.ids, sent);
}

/** It ends with its token, is not asked to come back, and is refused when it does. */
export async function expiry(scene: Scene): Promise<void> {
  const short: Holder = { ...scene.holder, lifetime: 3 };
  const [token, lasting] = await Promise.all([scene.fleet.token(short), scene.fleet.token(scene.holder)]);
  const [receiver, other] = await Promise.all([
    scene.open(0, ['expiry'], { token }),
    scene.open(0, ['expiry'], { token: lasting }),
  ]);
  await both(scene, [receiver, other]);
  assert.deepEqual(await receiver.ended(), { code: 'token_expired', reconnect: false });
  await refused(scene, ['expiry'], token, 'token_expired');
  await both(scene, [other]);
}

/** It ends on every instance when its subject is revoked, is refused everywhere, and nobody else is. */
export async function revocation(scene: Scene): Promise<void> {
  const mallory: Holder = { ...scene.holder, subject: 'mallory' };
  const token = await scene.fleet.token(mallory);
  const revoked = await Promise.all([
    scene.open(0, ['revoked'], { token }),
    scene.open(1, ['revoked'], { token }),
  ]);
  const other = await scene.open(0, ['revoked']);
  await both(scene, [...revoked, other]);
  await scene.fleet.revoke(mallory);
  for (const receiver of revoked) {
    assert.deepEqual(await receiver.ended(), { code: 'token_revoked', reconnect: false });
  }
  await refused(scene, ['revoked'], token, 'token_revoked');
  await both(scene, [other]);
}

/** By every instance; clocks may differ by seconds, so whoever is let in with an expired token is let out at once. */
async function refused(scene: Scene, filters: readonly string[], token: string, code: string): Promise<void> {
  for (const instance of [0, 1] as const) {
    const outcome = await scene.open(instance, filters, { token }).then(
      (receiver) => receiver.ended(),
      (error: Refused) => error,
    );
    assert.equal(outcome.code, code);
  }
}

async function both(scene: Scene, receivers: readonly Receiver[]): Promise<void> {
  const topic = receivers[0]?.ask.filters[0] as string;
  const sent = await scene.publish([topic]);
  await Promise.all(receivers.map((receiver) => receiver.has(sent)));
}
