import { connectJetStream } from '@pushfleet/bus';
import { type Draft, defaultNamespace, PushfleetError, parseDraft } from '@pushfleet/core';
import { type BusSpec, filler, publishTopics, type Source, topicsFrom } from './spec.ts';

/** Publishes through the bus in this process; every draft has an id of its own, as a publisher's would. */
export async function openBus(spec: BusSpec, firstTopic: number): Promise<Source> {
  const backbone = connectJetStream({ servers: spec.servers, name: 'bench' });
  await backbone.start();
  const bus = backbone.bus(defaultNamespace);
  const topics = topicsFrom(firstTopic);
  const templates = Array.from({ length: publishTopics }, (_, topic) => templateOf(topic));
  let number = 0;
  return {
    window: spec.window,
    async send() {
      const drafts = Array.from({ length: spec.size }, () => {
        const template = templates[topics.next().value] as Draft;
        return { ...template, id: `${process.pid}-${number++}` };
      });
      for (const answer of await bus.publish(drafts)) if (answer instanceof PushfleetError) throw answer;
      return spec.size;
    },
  };
}

const templateOf = (topic: number) =>
  parseDraft(
    {
      topic: `bench/${topic}`,
      payload: Buffer.from(filler),
      id: '1',
      source: 'bench',
      contentType: 'text/plain',
    },
    publishLimit,
  );

const publishLimit = 65_536;
