import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { expiry, forbidden, revocation } from './access.ts';
import { acrossProtocols } from './across.ts';
import { duplicate, gapAfterRetention, inOrder, overlapping, resuming, retained } from './delivering.ts';
import { Disturbance, slowConsumer } from './disturbing.ts';
import { Receiver } from './receiver.ts';
import { expected, play, type Scene } from './scene.ts';
import type { CaseName, EdgeProtocol, FleetUnderTest } from './under-test.ts';

export type {
  Arrival,
  Ask,
  EdgeProtocol,
  End,
  FleetUnderTest,
  Holder,
  Line,
  Received,
  Sent,
} from './under-test.ts';
export { comesBack, Refused, suiteOutboxBytes, suitePolicies } from './under-test.ts';
export { Receiver };

const quiet: readonly (readonly [CaseName, (scene: Scene) => Promise<void>])[] = [
  ['order', inOrder],
  ['overlapping filters', overlapping],
  ['a duplicate id', duplicate],
  ['retained', retained],
  ['resume on another instance', resuming],
  ['a gap after retention', gapAfterRetention],
  ['a forbidden filter', forbidden],
  ['the expiry of a token', expiry],
  ['revocation', revocation],
  ['a slow consumer', slowConsumer],
];

/**
 * What every edge promises, whichever protocol it speaks; a test file hands in a client of each protocol and a
 * fleet of two instances each, with three servers behind it.
 */
export function edgeSuite(
  protocols: readonly EdgeProtocol[],
  startFleet: () => Promise<FleetUnderTest & { stop(): Promise<void>; logs(): string }>,
): void {
  describe('every edge keeps the same promises', () => {
    let fleet: Awaited<ReturnType<typeof startFleet>>;
    before(async () => {
      fleet = await startFleet();
    });
    after(() => fleet?.stop());

    // Several at a time, since most of a case is waiting.
    describe('undisturbed', { concurrency: 4 }, () => {
      for (const protocol of protocols) {
        describe(protocol.name, { concurrency: 1 }, () => {
          for (const [name, run] of quiet) play(protocol, () => fleet, name, run);
        });
      }
    });
    acrossProtocols(
      protocols.filter(({ cursors }) => cursors),
      () => fleet,
    );
    disturbed(protocols, () => fleet, 'drain', drain);
    disturbed(protocols, () => fleet, 'a change of leader', changeOfLeader);
  });
}

/** One disturbance for all protocols at once, and a test for each. */
function disturbed(
  protocols: readonly EdgeProtocol[],
  fleet: () => FleetUnderTest,
  name: CaseName,
  play: (disturbance: Disturbance, fleet: FleetUnderTest) => Promise<void>,
): void {
  describe(name, { concurrency: 1 }, () => {
    let disturbance: Disturbance;
    before(async () => {
      disturbance = await Disturbance.begin(fleet(), protocols, name.replaceAll(' ', '-'));
      await play(disturbance, fleet());
      await disturbance.finish();
    });
    after(() => disturbance?.close());
    for (const protocol of protocols) {
      test(protocol.name, async (t) => {
        const { name: protocolName, knownFailing } = protocol;
        const run = async () => {
          const trouble = disturbance.troubles.get(protocol);
          if (trouble !== undefined) throw trouble;
          await disturbance.complete(protocol);
        };
        const reason = await expected(name, protocolName, knownFailing, run);
        if (reason !== undefined) t.diagnostic(`known to fail: ${reason}`);
      });
    }
  });
}

/** The oldest instances are told to stop: each tells its clients to come back, and they go on at the others. */
async function drain(disturbance: Disturbance, fleet: FleetUnderTest): Promise<void> {
  const { receivers } = disturbance;
  const youngest = new Map([...receivers.keys()].map((protocol) => [protocol, fleet.addresses(protocol)[1]]));
  const gone = fleet.drainOldest();
  const leave = async (protocol: EdgeProtocol, receiver: Receiver): Promise<void> => {
    if (protocol.pulls) await gone;
    else assert.deepEqual(await receiver.ended(), { code: 'draining', reconnect: true });
    await receiver.move(youngest.get(protocol) as string);
  };
  const leaving = [...receivers].map(([protocol, receiver]) =>
    leave(protocol, receiver).catch((error) => disturbance.troubles.set(protocol, error)),
  );
  await Promise.all([gone, ...leaving]);
}

/** The server that leads the log is killed under the open connections. */
async function changeOfLeader({ receivers }: Disturbance, fleet: FleetUnderTest): Promise<void> {
  for (const [protocol, receiver] of receivers) {
    receiver.stay(() => fleet.addresses(protocol)[0] as string).catch(() => {});
  }
  await fleet.changeLeader();
}
