import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { CloudEvent, HTTP, type Message } from 'cloudevents';
import { EventSource } from 'eventsource';
import { Fleet, token } from './fleet.ts';

let fleet: Fleet;
let authorization: string;
before(async () => {
  fleet = await Fleet.start();
  authorization = `Bearer ${await token({ publish: ['#'], subscribe: ['#'] })}`;
});
after(() => fleet.stop());

async function publish({ headers, body }: Message): Promise<{ topic: string; cursor: string }> {
  const response = await fetch(`http://${fleet.http.address}/v1/publish`, {
    method: 'POST',
    headers: { authorization, ...(headers as Record<string, string>) },
    body: body as string,
  });
  assert.equal(response.status, 201);
  return (await response.json()) as { topic: string; cursor: string };
}

/** The event as the SDK reads it, without what the fleet adds. */
function parsed(headers: Record<string, string>, body: string): object {
  const event = HTTP.toEvent({ headers, body });
  assert.ok(event instanceof CloudEvent && event.validate());
  const own = Object.entries(event.toJSON()).filter(
    ([name, value]) => value !== undefined && !name.startsWith('pushfleet'),
  );
  return Object.fromEntries(own);
}

test("the SDK's events come over SSE and by GET as they were published", async () => {
  const url = `http://${fleet.sse.address}/sse?topic=events/%23&format=cloudevents`;
  const source = new EventSource(url, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init?.headers, Authorization: authorization } }),
  });
  const lines: string[] = [];
  source.addEventListener('message', ({ data }) => lines.push(data as string));
  await until(() => source.readyState === EventSource.OPEN, 'the stream to be open');

  const structured = 'application/cloudevents+json; charset=utf-8';
  for (const [index, mode] of (['binary', 'structured'] as const).entries()) {
    const event = new CloudEvent({
      id: mode,
      source: 'https://shop.example/orders',
      type: 'com.example.paid',
      subject: `events/${mode}`,
      time: '2018-04-05T17:31:00.000Z',
      datacontenttype: 'application/json',
      dataschema: 'https://shop.example/schema',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      data: { lines: ['a\r\nb', { amount: 12.5 }], text: 'é€😀' },
    });
    const expected = JSON.parse(JSON.stringify(event)) as object;
    const { topic, cursor } = await publish(HTTP[mode](event));
    await until(() => lines.length > index, 'the event over SSE');
    assert.deepEqual(parsed({ 'content-type': structured }, lines[index] as string), expected);
    for (const accept of ['*/*', 'application/cloudevents+json']) {
      const response = await fetch(`http://${fleet.http.address}/v1/topics/${topic}?cursor=${cursor}`, {
        headers: { authorization, accept },
      });
      assert.deepEqual(parsed(Object.fromEntries(response.headers), await response.text()), expected);
    }
  }
  source.close();
});
