import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

// A stream needs nothing of node:http once its request has been read, but node:http keeps parser, request,
// response, header arrays and a dozen listeners for as long as the socket lives: 18 KB of resident memory per
// idle stream, against 6 KB for the bare socket (5,000 connections, Node 24). An upgrade lets go of all of it,
// so a stream leaves node:http by that door: the parser looks at `upgrade` of the request after the request
// listener has returned. detach.test.ts notices should a release of Node ever look elsewhere.

const detached = new WeakSet<IncomingMessage>();

/**
 * Makes the request's socket a bare one and hands it to the listener of `onDetached`. To be called within the
 * request listener, for a request without a body; `response` is of no use afterwards.
 */
export function detach(request: IncomingMessage, response: ServerResponse): void {
  detached.add(request);
  (request as IncomingMessage & { upgrade: boolean }).upgrade = true;
  response.detachSocket(request.socket);
}

// A reset by the client is no fault; `close` follows and tells.
const ignore = (): void => {};

/** Calls `on` with each request detached; a client's own upgrade is left to others. The socket is flowing: what a client still sends is thrown away. */
export function onDetached(server: Server, on: (request: IncomingMessage, socket: Socket) => void): void {
  server.on('upgrade', (request, socket) => {
    if (!detached.delete(request)) return;
    socket.on('error', ignore);
    socket.resume();
    on(request, socket as Socket);
  });
}
