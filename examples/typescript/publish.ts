import { connect } from '@pushfleet/publisher';

const publisher = connect({
  url: process.env.PUSHFLEET_GRPC_URL ?? 'http://127.0.0.1:50051',
  token: process.env.PUSHFLEET_TOKEN ?? '',
});
const topic = process.argv[2] ?? 'orders/42';
for (const total of [1, 2, 3]) {
  const receipt = await publisher.publish(topic, { total }, { type: 'order.changed' });
  console.log(`stored ${receipt.id}`);
}
await publisher.close();
