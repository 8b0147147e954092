import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Receiver } from './receiver.ts';
import type { EdgeProtocol, FleetUnderTest } from './under-test.ts';

const namespace = 'suite-across';

/** A cursor goes from protocol to protocol, there and back, and from instance to instance. */
export function acrossProtocols(protocols: readonly EdgeProtocol[], fleet: () => FleetUnderTest): void {
  describe('a cursor of one protocol resumes on the next', { concurrency: 1 }, () => {
    const round = [...protocols, ...protocols.toReversed()];
    let cursor: string | undefined;
    let ids = 0;
    const publish = async (): Promise<string> => {
      const id = `across-${++ids}`;
      await fleet().publish({ namespace, topic: `across/${ids % 3}`, id, text: String(ids) });
      return id;
    };
    for (const [hop, protocol] of round.entries()) {
      const from = round[hop - 1];
      test(from === undefined ? protocol.name : `${from.name} → ${protocol.name}`, async () => {
        const token = await fleet().token({ namespace, subject: 'traveller' });
        const address = fleet().addresses(protocol)[hop % 2] as string;
        const missed = cursor === undefined ? [] : [await publish(), await publish(), await publish()];
        const ask = { token, filters: ['across/+'], after: cursor };
        const receiver = await Receiver.open(protocol, address, ask);
        try {
          const fresh = [await publish(), await publish()];
          await receiver.has([...missed, ...fresh]);
          for (const topic of [0, 1, 2].map((n) => `across/${n}`)) {
            const got = receiver.received
              .filter((one) => one.topic === topic)
              .map(({ text }) => Number(text));
            assert.deepEqual(
              got,
              got.toSorted((a, b) => a - b),
              `${topic} in order`,
            );
          }
          assert.deepEqual(receiver.gaps, []);
          cursor = receiver.cursor;
        } finally {
          receiver.close();
        }
      });
    }
  });
}
