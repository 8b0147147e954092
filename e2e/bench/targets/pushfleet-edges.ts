import type { Turn } from '../load/protocol.ts';
import { chapters, type ScenarioName } from '../plan.ts';
import { upgrade } from './upgrade.ts';

/** How clients listen at one kind of edge. */
export interface Edge {
  readonly scenarios: readonly ScenarioName[];
  /** The request's line and the header lines that are not every client's. */
  request(topic: number): string;
  readonly turns: (topic: number) => readonly Turn[];
}

/** Pushfleet's edges that the benchmark knows, by their folders below `services/`. */
export const edges = {
  'edge-sse': {
    scenarios: [...chapters.deliveries, ...chapters.publishing],
    request: (topic) => `GET /sse?topic=bench/${topic} HTTP/1.1\r\nAccept: text/event-stream\r\n`,
    turns: () => [],
  },
  'edge-websocket': {
    scenarios: chapters.websocket,
    request: () => `GET /ws HTTP/1.1\r\n${upgrade}Sec-WebSocket-Protocol: pushfleet.v1\r\n`,
    turns: (topic) => [
      {
        say: JSON.stringify({ type: 'subscribe', id: 1, filters: [`bench/${topic}`] }),
        until: '"type":"subscribed"',
      },
    ],
  },
} as const satisfies Readonly<Record<string, Edge>>;
