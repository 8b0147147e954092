import { startNats } from '@pushfleet/contract';
import { busSuite, suiteRetentionMs } from '@pushfleet/contract/bus-suite';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import { testStreams } from './testing.ts';

busSuite('JetStream', async () => {
  const nats = await startNats();
  await migrate({ servers: nats.url, ...testStreams, shards: 3 });
  const backbone = connectJetStream({ servers: nats.url, name: 'suite', retentionMs: suiteRetentionMs });
  await backbone.start();
  return {
    backbone,
    async end() {
      await backbone.close();
      await nats.stop();
    },
  };
});
