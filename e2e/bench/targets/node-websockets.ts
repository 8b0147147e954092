// Peers and the reference for WebSocket that run in a Node process.
import { createRequire } from 'node:module';
import { chapters } from '../plan.ts';
import { nodeServer } from './node-server.ts';
import { upgrade } from './upgrade.ts';

const versionOf = (name: string): string =>
  (createRequire(import.meta.url)(`${name}/package.json`) as { version: string }).version;
const shared = { scenarios: chapters.websocket, headers: upgrade } as const;
// Under stalled clients others are of interest whose costs leave room for it.
const withoutStalled = chapters.websocket.filter((name) => name !== 'wsStalled');

/** The reference: `send` of ws to one client after the other. */
export const bareWs = nodeServer({
  ...shared,
  name: 'bare ws loop',
  about: () => `ws ${versionOf('ws')} on Node ${process.versions.node}, \`send\` to each client`,
  file: new URL('./ws-server.ts', import.meta.url),
  path: (topic) => `/${topic}`,
  target: (topic) => `/${topic}`,
});

/** A client joins the namespace, then a room; each waits for its answer (Engine.IO 4, Socket.IO 5). */
export const socketIo = nodeServer({
  ...shared,
  scenarios: withoutStalled,
  name: 'socket.io',
  about: () => `socket.io ${versionOf('socket.io')}, WebSocket alone, a room a topic`,
  file: new URL('./socket-io-server.ts', import.meta.url),
  path: (topic) => `/${topic}`,
  target: () => '/socket.io/?EIO=4&transport=websocket',
  turns: (topic) => [
    { say: '40', until: '40\\{' },
    { say: `420["listen","/${topic}"]`, until: '430\\[\\]' },
  ],
});

/** A client shakes hands, subscribes, then connects (Bayeux 1.0). */
export const faye = nodeServer({
  ...shared,
  scenarios: withoutStalled,
  name: 'faye',
  about: () => `faye ${versionOf('faye')}, WebSocket alone, its engine in memory`,
  file: new URL('./faye-server.ts', import.meta.url),
  path: (topic) => `/t${topic}`,
  target: () => '/bayeux',
  turns: (topic) => [
    {
      say: '[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"],"id":"1"}]',
      until: '"clientId":"(\\w+)"',
    },
    {
      say: `[{"channel":"/meta/subscribe","clientId":"{}","subscription":"/t${topic}","id":"2"}]`,
      until: `"clientId":"(\\w+)".*"subscription":"/t${topic}"`,
    },
    // Its answer is held back until there is something to say.
    { say: '[{"channel":"/meta/connect","clientId":"{}","connectionType":"websocket","id":"3"}]', until: '' },
  ],
});
