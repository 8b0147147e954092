// A member of a group in a process of its own, for tests that kill one: takes so many and keeps them.
import type { Namespace } from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';

const [servers = '', namespace = '', group = '', count = '1', leaseMs = '1500'] = process.argv.slice(2);
const backbone = connectJetStream({ servers, name: 'member', group: { leaseMs: Number(leaseMs) } });
await backbone.start();
const share = backbone.bus(namespace as Namespace).share(
  group,
  ({ publication }) => process.stdout.write(`${publication.id}\n`),
  () => process.exit(3),
);
share.want(Number(count));
