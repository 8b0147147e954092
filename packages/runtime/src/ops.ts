import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Address } from './field.ts';
import type { Metrics } from './metrics.ts';
import type { Readiness } from './supervisor.ts';

/** The operations server: `/healthz`, `/readyz`, `/metrics`. Keep it off the public network. */
export async function startOps(
  address: Address,
  source: { readonly reasons: () => Readiness; readonly metrics: Metrics },
): Promise<Server> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    answer(request, response, source);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(address.port, address.host, resolve);
  await promise;
  server.off('error', reject);
  return server;
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: { readonly reasons: () => Readiness; readonly metrics: Metrics },
): void {
  const path = request.url?.split('?')[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    json(response, 405, { error: 'Only GET is answered here.' });
  } else if (path === '/healthz') {
    // An answer is the proof: a process whose event loop hangs gives none.
    json(response, 200, { status: 'ok' });
  } else if (path === '/readyz') {
    const reasons = source.reasons();
    const ready = Object.keys(reasons).length === 0;
    json(response, ready ? 200 : 503, ready ? { status: 'ready' } : { status: 'not ready', reasons });
  } else if (path === '/metrics') {
    source.metrics.handle(request, response);
  } else {
    json(response, 404, { error: 'There are /healthz, /readyz and /metrics here.' });
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response
    .writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
    })
    .end(text);
}
