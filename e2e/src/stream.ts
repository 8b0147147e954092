import type { ClientReadableStream, Metadata, ServiceError } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { bearer, publishClient } from './grpc.ts';

/** A stream as its client sees it, whichever protocol carries it. */
export interface Stream {
  /** The id that the fleet gave it. */
  readonly connection: string;
  /** All that came. */
  text(): string;
  readonly ended: boolean;
  close(): void;
}

/** The HTTP status of an SSE request, and what it says; nothing stays open. */
export async function knock(
  address: string,
  filter: string,
  headers: Readonly<Record<string, string>>,
  query = '',
): Promise<{ readonly status: number; readonly code: string | undefined }> {
  const answer = await fetch(sseUrl(address, filter, query), { headers });
  const problem = answer.headers.get('content-type') === 'application/problem+json';
  const code = problem ? ((await answer.json()) as { code: string }).code : undefined;
  if (!problem) await answer.body?.cancel();
  return { status: answer.status, code };
}

const sseUrl = (address: string, filter: string, query = ''): string =>
  `http://${address}/sse?topic=${encodeURIComponent(filter)}${query}`;

/** An SSE stream that is open. @param query more of it, such as `&format=cloudevents` */
export async function openSse(address: string, filter: string, token: string, query = ''): Promise<Stream> {
  const leaving = new AbortController();
  const answer = await fetch(sseUrl(address, filter, query), {
    headers: { authorization: `Bearer ${token}` },
    signal: leaving.signal,
  });
  if (answer.status !== 200 || answer.body === null)
    throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
  const state = { text: '', ended: false };
  const read = async (body: ReadableStream<Uint8Array>): Promise<void> => {
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) state.text += chunk;
  };
  void read(answer.body)
    .catch(() => {})
    .finally(() => {
      state.ended = true;
    });
  return {
    connection: answer.headers.get('pushfleet-connection') ?? '',
    text: () => state.text,
    get ended() {
      return state.ended;
    },
    close: () => leaving.abort(),
  };
}

/** A gRPC Subscribe stream that is open. */
export async function openSubscribe(address: string, filter: string, token: string): Promise<Stream> {
  const client = publishClient(address);
  const call: ClientReadableStream<object> = client.subscribe({ filters: [filter] }, bearer(token));
  const state = { text: '', ended: false, connection: '' };
  let failure: ServiceError | undefined;
  call.on('metadata', (metadata: Metadata) => {
    state.connection = String(metadata.get('pushfleet-connection')[0] ?? '');
  });
  call.on('data', (response) => (state.text += JSON.stringify(response)));
  call.on('error', (error: ServiceError) => {
    failure = error;
    state.text += error.metadata?.get('pushfleet-code')[0] ?? error.message;
  });
  call.on('close', () => {
    state.ended = true;
  });
  await until(() => state.text !== '', 'the first response or the refusal');
  if (failure !== undefined) {
    client.close();
    throw failure;
  }
  return {
    get connection() {
      return state.connection;
    },
    text: () => state.text,
    get ended() {
      return state.ended;
    },
    close: () => {
      call.cancel();
      client.close();
    },
  };
}

/** The status of a publication over HTTP. */
export async function publish(address: string, topic: string, token: string, payload = 'x'): Promise<number> {
  const answer = await fetch(`http://${address}/v1/topics/${topic}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
    body: payload,
  });
  await answer.body?.cancel();
  return answer.status;
}
