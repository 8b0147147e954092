import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { WebSocket } from 'ws';
import { arrivalOfMessage, type Message } from './event.ts';
import { authorized } from './http.ts';

/** `pushfleet.v1` over WebSocket by npm's `ws`. */
export const websocket: EdgeProtocol = {
  name: 'WebSocket',
  service: 'edge-websocket',
  pulls: false,
  cursors: true,
  async connect(address, { token, filters, after, retained }, on): Promise<Line> {
    const socket = new WebSocket(`ws://${address}/ws`, 'pushfleet.v1', { headers: authorized(token) });
    const { promise: stands, resolve, reject } = Promise.withResolvers<void>();
    socket.on('message', (data, isBinary) => {
      const message = (isBinary ? headerOf(data as Buffer) : JSON.parse(String(data))) as Message;
      const { type, code = '', detail = '' } = message;
      if (type === 'welcome') {
        socket.send(JSON.stringify({ type: 'subscribe', id: 1, filters, after, retained }));
      }
      if (type === 'error' || type === 'closing') reject(new Refused(code, detail));
      const arrival = arrivalOfMessage(message);
      if (arrival !== undefined) on(arrival);
      if (type === 'subscribed') resolve();
    });
    socket.on('unexpected-response', (request, response) => {
      void problemOf(response)
        .then(reject, reject)
        .finally(() => request.destroy());
    });
    socket.on('error', (error) => reject(new Refused('cut', error.message)));
    socket.on('close', (code) => {
      reject(new Refused('cut', `closed with ${code}`));
      on({ kind: 'end', code: 'cut', reconnect: true });
    });
    try {
      await stands;
    } catch (error) {
      socket.terminate();
      throw error;
    }
    return { close: () => socket.terminate(), pause: () => socket.pause(), resume: () => socket.resume() };
  },
};

/** The object in front of a binary message's payload. */
const headerOf = (data: Buffer): unknown => JSON.parse(data.toString('utf8', 4, 4 + data.readUInt32BE(0)));

async function problemOf(response: IncomingMessage): Promise<Refused> {
  const { code, detail } = JSON.parse(await text(response)) as { code: string; detail: string };
  return new Refused(code, detail);
}
