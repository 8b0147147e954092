import { startNats } from '@pushfleet/contract';
import { busSuite, suiteGroupTerms, suiteQueueTerms, suiteRetentionMs } from '@pushfleet/contract/bus-suite';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';

busSuite('JetStream', async () => {
  const nats = await startNats();
  await migrate({ servers: nats.url, ...testStreams, shards: 3 });
  const another = async () => {
    const backbone = connectJetStream({
      servers: nats.url,
      name: 'suite',
      retentionMs: suiteRetentionMs,
      queue: suiteQueueTerms,
      group: suiteGroupTerms,
    });
    await backbone.start();
    return backbone;
  };
  const backbone = await another();
  return {
    backbone,
    another,
    async end() {
      await backbone.close();
      await nats.stop();
    },
  };
});
