import { busSuite, suiteRetentionMs } from '@pushfleet/contract/bus-suite';
import { createMemoryBackbone } from './backbone.ts';

busSuite('memory', async () => {
  const backbone = createMemoryBackbone({ shards: 3, retentionMs: suiteRetentionMs });
  return { backbone, end: () => backbone.close() };
});
