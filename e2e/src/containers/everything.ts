import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { until } from '@pushfleet/contract';
import { Receiver } from '@pushfleet/contract/edge-suite';
import type { EdgeService } from '../fleet.ts';
import { bearer, publishClient, type Receipt } from '../grpc.ts';
import { protocols } from '../protocols/mod.ts';
import { behaviours, Receivers } from '../webhook-receivers.ts';
import { HookManager } from '../webhooks.ts';
import type { Compose } from './compose.ts';

const patienceMs = 30_000;

/** One publication in by gRPC, and out by every protocol and a webhook, each with its id. */
export async function oneToEverybody(fleet: Compose): Promise<void> {
  const topic = `all/${randomUUID()}`;
  const token = await fleet.token({ publish: ['#'], subscribe: ['#'], manage: true });
  const hooks = await Receivers.open(await fleet.gateway());
  const client = publishClient(fleet.grpc.address);
  const receivers: Receiver[] = [];
  try {
    const url = hooks.add('hook', behaviours.well);
    const hook = await new HookManager(fleet, token).create({ filter: topic, url, handshake: 'none' });
    hooks.trust('hook', hook.secret);
    for (const protocol of protocols) {
      const address =
        protocol.service === 'publish'
          ? fleet.grpc.address
          : fleet.door(protocol.service as EdgeService).address;
      receivers.push(await Receiver.open(protocol, address, { token, filters: [topic] }));
    }
    const draft = {
      id: 'one',
      source: 'tests',
      topic,
      contentType: 'text/plain',
      payload: Buffer.from('hello'),
    };
    const { receipt } = await new Promise<Receipt>((resolve, reject) => {
      client.publish({ draft }, bearer(token), (error, answer) => (error ? reject(error) : resolve(answer)));
    });
    assert.equal(receipt.id, 'one');
    for (const receiver of receivers) {
      await receiver.has(['one'], patienceMs);
      assert.equal(receiver.received[0]?.text, 'hello', receiver.protocol.name);
    }
    await until(() => hooks.of('hook').length > 0, 'the webhook to be called', patienceMs);
    const [call] = hooks.of('hook');
    assert.deepEqual([call?.signed, call?.body], [true, 'hello']);
  } finally {
    for (const receiver of receivers) receiver.close();
    hooks.close();
    client.close();
  }
}
