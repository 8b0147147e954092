// Subscribes by npm's pubsubhubbub, is given content, and unsubscribes.
import { once } from 'node:events';
import { createServer } from 'pubsubhubbub';

const [topic, hub, port] = process.argv.slice(2);
const subscriber = createServer({ callbackUrl: `http://127.0.0.1:${port}/callback`, leaseSeconds: 3_600 });
subscriber.on('denied', (why) => {
  console.error(why);
  process.exit(1);
});
subscriber.listen(Number(port), '127.0.0.1');
await once(subscriber, 'listen');

async function settled(mode) {
  const verified = once(subscriber, mode);
  subscriber[mode](topic, hub);
  const [data] = await verified;
  if (data.topic !== topic) throw new Error(`verified ${data.topic}`);
}

await settled('subscribe');
console.log('subscribed');
const [{ feed, topic: fed }] = await once(subscriber, 'feed');
if (fed !== topic) throw new Error(`the content is of ${fed}`);
console.log(`fed ${feed}`);
await settled('unsubscribe');
console.log('done');
process.exit(0);
