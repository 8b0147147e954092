import { busSuite, suiteGroupTerms, suiteQueueTerms, suiteRetentionMs } from '@pushfleet/contract/bus-suite';
import { createMemoryBackbone } from './backbone.ts';

busSuite('memory', async () => {
  const options = {
    shards: 3,
    retentionMs: suiteRetentionMs,
    queue: suiteQueueTerms,
    group: suiteGroupTerms,
  };
  const backbone = createMemoryBackbone(options);
  return {
    backbone,
    another: async () => createMemoryBackbone({ ...options, log: backbone.log }),
    end: () => backbone.close(),
  };
});
