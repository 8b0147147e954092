import { after, before, suite, test } from 'node:test';
import { Compose } from './compose.ts';
import { withoutEngine } from './engine.ts';
import { killed, primaryKilled, underKill } from './under-kills.ts';

const away = await withoutEngine();
const size = { publications: 1_000, publishers: 4, clients: 32, rate: 100 };
const services = [
  ...['nats-1', 'nats-2', 'nats-3', 'edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'],
  ...['publish', 'registry', 'delivery-webhook', 'front'],
];

suite('docker compose, each part killed in turn', { skip: away ?? false }, () => {
  let fleet: Compose;
  before(async () => {
    fleet = await Compose.up();
  });
  after(() => fleet?.down());

  const faults = [
    ...services.map((service) => [service, killed(service)] as const),
    ["Redis' primary", primaryKilled] as const,
    ["Redis' primary again, which is the other one now", primaryKilled] as const,
  ];
  for (const [what, disturb] of faults) {
    test(`SIGKILL of ${what} loses nothing`, async (t) => {
      const began = performance.now();
      const count = await underKill(fleet, size, disturb).catch(async (error) => {
        t.diagnostic(await fleet.logs());
        throw error;
      });
      t.diagnostic(`${count} acknowledged, ${Math.round((performance.now() - began) / 1_000)} s`);
    });
  }
});
