import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import { Client } from 'undici';
import type { Tunnel } from './connector.ts';

/**
 * Ways through an HTTP proxy by CONNECT (RFC 9110, 9.3.6). The name goes to the proxy, which looks it up: only literals,
 * names and ports are judged on this side. The proxy itself is the operator's, and is not judged.
 */
export function createTunnel(proxy: URL, secureContext: SecureContext): Tunnel {
  const { username, password } = proxy;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization =
    username === '' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
  return async ({ host, port }, signal) => {
    const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    const client = new Client(proxy.origin, { allowH2: false, connect: { secureContext } });
    try {
      const { statusCode, socket } = await client.connect({
        path: authority,
        headers: { host: authority, ...authorization },
        signal,
      });
      if (statusCode === 200) return socket as Socket;
      socket.destroy();
      throw new Error(`The proxy answered CONNECT ${authority} with ${statusCode}.`);
    } catch (error) {
      void client.destroy();
      throw error;
    }
  };
}
