import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import { startEdge, token } from './testing-edge.ts';

// MQTT.js as people use it.
const edge = await startEdge({ after });

async function open(options: IClientOptions = {}): Promise<MqttClient & { readonly texts: string[] }> {
  const texts: string[] = [];
  const client = connect(edge.url, {
    ...{ protocolVersion: 5, username: 'token', password: token(), reconnectPeriod: 10 },
    ...options,
  });
  client.on('message', (topic, payload, { qos, retain }) => {
    texts.push(`${topic}=${payload.toString()} ${qos}${retain ? ' r' : ''}`);
  });
  await new Promise((resolve) => client.once('connect', resolve));
  return Object.assign(client, { texts });
}

for (const protocolVersion of [4, 5] as const) {
  suite(`MQTT.js, protocol version ${protocolVersion}`, () => {
    test('publishes and is given every QoS, wildcards and retained messages', async () => {
      const client = await open({ protocolVersion });
      const root = `v${protocolVersion}`;
      await client.publishAsync(`${root}/kept`, 'old', { qos: 1, retain: true });
      await client.subscribeAsync(`${root}/#`, { qos: 2 });
      for (const qos of [0, 1, 2] as const) await client.publishAsync(`${root}/${qos}`, 'x', { qos });
      await until(() => client.texts.length >= 4, 'four publications');
      const expected = [`${root}/0=x 0`, `${root}/1=x 1`, `${root}/2=x 2`, `${root}/kept=old 1 r`];
      assert.deepEqual(client.texts.toSorted(), expected);
      await client.unsubscribeAsync(`${root}/#`);
      await client.publishAsync(`${root}/kept`, '', { qos: 1, retain: true });
      await client.endAsync();
    });

    test('comes back to its session with what was published meanwhile', async () => {
      const kept: IClientOptions = {
        ...{ protocolVersion, clientId: `back${protocolVersion}`, clean: false },
        ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 100 } }),
      };
      const one = await open(kept);
      const topic = `back/${protocolVersion}`;
      await one.subscribeAsync(topic, { qos: 1 });
      await one.endAsync();
      await edge.publish(topic, 'meanwhile');
      const two = await open(kept);
      await until(() => two.texts.length >= 1, 'what was published meanwhile');
      assert.deepEqual(two.texts, [`${topic}=meanwhile 1`]);
      await two.endAsync();
    });
  });
}
