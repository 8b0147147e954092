import type { PublishPath } from '../publish/spec.ts';
import { token } from './token.ts';

/** What an answer to a batch has once for each publication stored. */
const storedInBatch = '"status":201';

/** Pushfleet's ways in: its HTTP and gRPC APIs, and the bus that a service of its own would use. */
export function pushfleetPaths(
  addresses: Readonly<Record<string, string>>,
  natsUrl: string,
): readonly PublishPath[] {
  const bearer = token('publisher', { publish: ['#'] });
  const [host = '', port = ''] = (addresses.http ?? '').split(':');
  const authorization = `Authorization: Bearer ${bearer}\r\n`;
  const http = { how: 'http', host, port: Number(port) } as const;
  const grpc = { how: 'grpc', address: addresses.grpc ?? '', token: bearer, size: 1 } as const;
  return [
    { name: 'gRPC PublishStream', spec: { ...grpc, call: 'stream', window: 900 } },
    { name: 'gRPC Publish', spec: { ...grpc, call: 'unary', window: 64 } },
    { name: 'gRPC PublishBatch of 200', spec: { ...grpc, call: 'batch', size: 200, window: 8 } },
    {
      name: '@pushfleet/publisher',
      spec: { how: 'package', address: addresses.grpc ?? '', token: bearer, window: 4_000 },
    },
    {
      name: 'HTTP, one each',
      spec: {
        ...http,
        path: '/v1/topics/bench/{topic}',
        headers: `${authorization}Content-Type: text/plain\r\n`,
        item: '{payload}',
        connections: 64,
      },
    },
    {
      name: 'HTTP, batches of 200',
      spec: {
        ...http,
        path: '/v1/publish',
        headers: `${authorization}Content-Type: application/json\r\n`,
        item: '{"topic":"bench/{topic}","contentType":"text/plain","payload":"{payload}"}',
        batch: { size: 200, begin: '[', end: ']' },
        taken: storedInBatch,
        connections: 8,
      },
    },
    {
      name: 'bus.publish in process',
      spec: { how: 'bus', servers: natsUrl, size: 100, window: 20 },
      publishers: 1,
    },
  ];
}
