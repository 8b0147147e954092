import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { watchStream } from './watch-stream.ts';

type Fake = EventEmitter & { cancelled: boolean };

function watching() {
  const streams: Fake[] = [];
  const heard: string[] = [];
  const watch = watchStream<string>({
    open() {
      const stream = Object.assign(new EventEmitter(), { cancelled: false });
      streams.push(stream);
      const cancel = () => {
        stream.cancelled = true;
      };
      return Object.assign(stream, { cancel }) as unknown as ClientReadableStream<string>;
    },
    begin: (inStep) => (response) => {
      inStep();
      heard.push(response);
    },
    onBroken: (reason) => heard.push(`broken: ${reason}`),
  });
  watch.start();
  return { streams, heard, watch };
}

describe('watchStream', () => {
  it('opens one stream again for one that failed and ended', async () => {
    const { streams, heard, watch } = watching();
    streams[0]?.emit('data', 'one');
    streams[0]?.emit('error', Object.assign(new Error('14'), { details: 'gone' }));
    streams[0]?.emit('end');
    await until(() => streams.length === 2, 'the second stream');
    streams[1]?.emit('data', 'two');
    streams[1]?.emit('end');
    await until(() => streams.length === 3, 'the third stream');
    assert.deepEqual(heard, ['one', 'broken: gone', 'two', 'broken: the registry ended the stream']);
    watch.close();
    assert.ok(streams[2]?.cancelled);
  });

  it('opens none after it was closed', () => {
    const { streams, heard, watch } = watching();
    watch.close();
    streams[0]?.emit('error', new Error('cancelled'));
    assert.deepEqual([streams.length, heard], [1, []]);
  });
});
