import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Storm } from '../plan.ts';
import { pushfleet } from '../targets/pushfleet.ts';
import type { Running } from '../targets/target.ts';
import { runStorm } from './storm.ts';

let fleet: Running;
before(async () => {
  fleet = await (await pushfleet('edge-sse')).start();
});
after(() => fleet?.stop());

const storm = (topics: number, clients: number): Storm => ({
  ...{ kind: 'storm', name: 'storm', title: 'small', repetitions: 1 },
  ...{ topics, clients, messages: 40 },
});

// Clients of a topic come from four places, and the reads from the first cover what the others need: 2.5 messages of
// the broker for each publication if nothing is shared between places. A slow machine reads again what it no longer
// holds, hence the room; reading for each client would take 25 to 100.
const mostPerPublication = 12;

for (const [topics, clients] of [
  [4, 160],
  [4, 640],
  [16, 640],
] as const) {
  test(`${clients} clients that come again on ${topics} topics make the broker send for topics, not for clients`, async () => {
    const {
      missed,
      publications,
      brokerMessages = Number.NaN,
    } = await runStorm(fleet, storm(topics, clients));
    assert.equal(missed, clients * 25);
    assert.equal(publications, topics * 40);
    assert.ok(brokerMessages >= publications, `${brokerMessages} messages for ${publications} publications`);
    assert.ok(
      brokerMessages <= publications * mostPerPublication,
      `${brokerMessages} messages for ${publications} publications and ${missed} events`,
    );
  });
}
