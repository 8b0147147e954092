import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { type BombOptions, bombs, fill } from './bombs.ts';
import { grpcBombs } from './bombs-grpc.ts';
import { borrowed } from './borrowed.ts';
import { callbacks } from './callbacks.ts';
import { Crowd } from './crowd.ts';
import { logIn } from './log-in.ts';
import { peakOf } from './memory.ts';
import { Site } from './site.ts';
import { dawdlers } from './slow.ts';
import { revokeStolen, strangers } from './strangers.ts';
import { fillVault, trespass, type Vault } from './trespass.ts';
import { ways } from './ways.ts';

/** How much of everything there is. */
export interface Size {
  /** Connections at once that say nothing or too little, at each listener. */
  readonly crowd: number;
  /** What a compressed bomb has, inflated, in bytes. */
  readonly inflatedBytes: number;
}

/** What a service may have taken at most, in bytes, whatever was thrown at it: each begins with about 150 MiB. */
const mostBytes = 400 * 1_048_576;

/** One fleet, attacked from outside by every protocol; it is told to log all there is. */
export function securitySuite(size: Size): void {
  describe('a fleet under attack', () => {
    let site: Site;
    let vault: Vault;
    const slow = new Map<string, Promise<void>>();
    before(async () => {
      site = await Site.start();
      vault = await fillVault(site);
      await revokeStolen(site);
      const token = await site.token({ sub: 'dawdler', publish: ['#'], subscribe: ['#'] });
      for (const { name, run } of dawdlers) {
        const ended = run(site, token);
        ended.catch(() => {}); // Its test says so.
        slow.set(name, ended);
      }
    });
    after(() => site?.stop());

    strangers(() => site);
    trespass(
      () => site,
      () => vault,
    );
    borrowed(
      () => site,
      () => vault,
    );
    callbacks(() => site);

    describe('a password by SCRAM', () => {
      test('lets in who has it, and nobody else', async () => {
        assert.equal(await logIn(site, 'right'), 'CONNACK 0x00');
        assert.equal(await logIn(site, 'wrong'), 'CONNACK 0x87 unauthenticated');
      });
    });

    describe('bombs', { concurrency: 4 }, () => {
      let o: BombOptions;
      before(async () => {
        const token = await site.token({ sub: 'bomber', publish: ['#'], subscribe: ['#'], manage: true });
        o = await fill(token, size.inflatedBytes);
      });
      for (const { name, run, expected } of [...bombs, ...grpcBombs]) {
        test(name, async () => assert.match(await run(site, o), expected));
      }
    });

    describe('whoever is slow is let go', { concurrency: true }, () => {
      for (const { name } of dawdlers) test(name, () => slow.get(name));
    });

    describe('a crowd that says nothing', () => {
      test('keeps nobody from service', async () => {
        const crowd = Crowd.gather(site, size.crowd);
        try {
          await until(() => crowd.size > 0.8 * crowd.wanted, `${crowd.wanted} connections`);
          await site.serves(ways);
          // Those who are let go come back, and the fleet goes on letting them go.
          await until(() => crowd.sentAway > crowd.wanted, 'the crowd to be sent away');
          await site.serves(ways);
        } finally {
          crowd.end();
        }
      });
    });

    describe('afterwards', () => {
      test('every service stands, and has not taken more memory than it may', (t) => {
        for (const service of site.fleet.services) {
          const peak = peakOf(service) ?? 0;
          const told = `${service.name} had ${Math.round(peak / 1_048_576)} MiB at most`;
          t.diagnostic(told);
          assert.ok(peak < mostBytes, told);
        }
      });
      test('no service calls what others did its own fault', () => {
        for (const { name, logs } of site.fleet.services) {
          const text = logs();
          assert.match(text, /"msg":"listening"/, name);
          const faults = text.split('\n').filter((line) => /"level":"(error|fatal)"/.test(line));
          assert.deepEqual(faults, [], name);
        }
      });
      test('no secret is found in a log, a metric, a trace or a refusal', async () => {
        assert.deepEqual(await site.leaks(), []);
      });
    });
  });
}
