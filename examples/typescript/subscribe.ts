import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { PublishServiceClient } from '@pushfleet/proto/pushfleet/publish/v1/publish';

const url = new URL(process.env.PUSHFLEET_GRPC_URL ?? 'http://127.0.0.1:50051');
const secure = url.protocol === 'https:' ? credentials.createSsl() : credentials.createInsecure();
const client = new PublishServiceClient(url.host, secure);
const metadata = new Metadata();
metadata.set('authorization', `Bearer ${process.env.PUSHFLEET_TOKEN}`);

const [filter = 'orders/#', after = ''] = process.argv.slice(2);
const stream = client.subscribe({ filters: [filter], after, retained: false }, metadata);
stream.on('data', ({ cursor, event }) => {
  // Keep the newest cursor: given as `after`, it resumes right behind what was seen.
  if (event?.$case === 'delivery') {
    const { topic, payload } = event.delivery.publication ?? {};
    console.log(`${topic} ${payload}`);
  } else {
    console.log(`cursor ${cursor}`);
  }
});
stream.on('error', (error: ServiceError) => {
  console.error(error.message);
  process.exitCode = 1;
});
