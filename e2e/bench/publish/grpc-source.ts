import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import {
  Draft,
  PublishBatchRequest,
  PublishBatchResponse,
  PublishResponse,
  type PublishResult,
  PublishStreamRequest,
  PublishStreamResponse,
} from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { filler, type GrpcSpec, publishTopics, type Source, topicsFrom } from './spec.ts';

const service = '/pushfleet.publish.v1.PublishService/';
const methods = { stream: 'PublishStream', unary: 'Publish', batch: 'PublishBatch' };
const windowBytes = 16 * 1_048_576;

/** Publishes in gRPC's framing (its "HTTP/2 protocol" page); every draft is encoded once, before the clock starts. */
export async function openGrpc(spec: GrpcSpec, firstTopic: number): Promise<Source> {
  const session = connect(`http://${spec.address}`, { settings: { initialWindowSize: windowBytes } });
  await new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject));
  session.setLocalWindowSize(windowBytes);
  const topics = topicsFrom(firstTopic);
  if (spec.call === 'stream') return streamSource(spec, begin(session, spec), topics);
  const size = spec.call === 'batch' ? spec.size : 1;
  return {
    window: spec.window,
    async send() {
      const parts = Array.from({ length: size }, () => encoded[topics.next().value] as Buffer);
      const answer = await unary(begin(session, spec), frameOf(parts));
      if (spec.call === 'unary') return receiptsIn([PublishResponse.decode(answer)]);
      return stored(PublishBatchResponse.decode(answer).results);
    },
  };
}

/** A draft of each topic. */
const drafts = Array.from({ length: publishTopics }, (_, topic) =>
  Draft.fromPartial({
    topic: `bench/${topic}`,
    contentType: 'text/plain',
    payload: Buffer.from(filler),
  }),
);
/** As a request with one of them: joined, requests with one draft are a request with many. */
const encoded = drafts.map((draft) => Buffer.from(PublishBatchRequest.encode({ drafts: [draft] }).finish()));

function begin(session: ClientHttp2Session, { call, token }: GrpcSpec): ClientHttp2Stream {
  return session.request({
    ':method': 'POST',
    ':path': service + methods[call],
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
}

function frameOf(parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, ...parts], length + 5);
}

function unary(call: ClientHttp2Stream, frame: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    call.on('data', (chunk: Buffer) => chunks.push(chunk));
    call.on('end', () => resolve(Buffer.concat(chunks).subarray(5)));
    failing(call, reject);
    call.end(frame);
  });
}

function failing(call: ClientHttp2Stream, reject: (error: Error) => void): void {
  const check = (headers: Record<string, unknown>) => {
    const status = headers['grpc-status'];
    if (status === undefined || status === '0') return;
    reject(new Error(`gRPC status ${status}: ${headers['grpc-message']}`));
  };
  call.on('response', check).on('trailers', check).on('error', reject);
}

function stored(results: readonly PublishResult[]): number {
  return receiptsIn(
    results.map(({ outcome }) => {
      if (outcome?.$case === 'receipt') return outcome;
      throw new Error(`a publication was refused: ${outcome?.refusal.message}`);
    }),
  );
}

function receiptsIn(answers: readonly { receipt?: unknown }[]): number {
  if (answers.some(({ receipt }) => receipt === undefined)) throw new Error('an answer has no receipt');
  return answers.length;
}

/** Drafts handed over in the same turn go out in one write; answers settle in whatever order they come. */
function streamSource(
  { window }: GrpcSpec,
  call: ClientHttp2Stream,
  topics: Generator<number, never>,
): Source {
  const frames = drafts.map((draft) =>
    frameOf([Buffer.from(PublishStreamRequest.encode({ correlation: 0n, draft }).finish())]),
  );
  const waiting: { resolve(acknowledged: number): void; reject(error: Error): void }[] = [];
  let outgoing: Buffer[] = [];
  failing(call, (error) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  });
  call.on(
    'data',
    frameReader((message) => {
      const { result } = PublishStreamResponse.decode(message);
      waiting.pop()?.resolve(stored(result === undefined ? [] : [result]));
    }),
  );
  const flush = () => {
    call.write(Buffer.concat(outgoing));
    outgoing = [];
  };
  return {
    window,
    send() {
      if (outgoing.length === 0) setImmediate(flush);
      outgoing.push(frames[topics.next().value] as Buffer);
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
  };
}

function frameReader(on: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    let data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (data.length >= 5 && data.length >= 5 + data.readUInt32BE(1)) {
      const end = 5 + data.readUInt32BE(1);
      on(data.subarray(5, end));
      data = data.subarray(end);
    }
    rest = data;
  };
}
