import { type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import {
  Draft,
  PublishServiceClient,
  type PublishStreamRequest,
  type PublishStreamResponse,
} from '@pushfleet/proto/pushfleet/publish/v1/publish';
import type { Outgoing } from './target.ts';

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

/** Publishes over one PublishStream: a draft at a time, each with an answer of its own. */
export class StreamPublisher {
  readonly #client: PublishServiceClient;
  readonly #call: ClientDuplexStream<PublishStreamRequest, PublishStreamResponse>;
  readonly #waiting = new Map<bigint, Waiting>();
  #correlation = 0n;
  #failure: Error | undefined;

  constructor(address: string, token: string) {
    this.#client = new PublishServiceClient(address, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    this.#call = this.#client.publishStream(metadata);
    this.#call.on('data', (answer: PublishStreamResponse) => this.#settle(answer));
    this.#call.on('error', (error) => this.#fail(error));
  }

  /** Resolves once the log holds every message. */
  async publish(messages: readonly Outgoing[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    await Promise.all(messages.map((message) => this.#send(message)));
  }

  #send({ topic, payload }: Outgoing): Promise<void> {
    const correlation = this.#correlation++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(correlation, { resolve, reject });
      const draft = Draft.fromPartial({
        topic: `bench/${topic}`,
        contentType: 'text/plain',
        payload: Buffer.from(payload),
      });
      this.#call.write({ correlation, draft });
    });
  }

  #settle({ correlation, result }: PublishStreamResponse): void {
    const waiting = this.#waiting.get(correlation);
    this.#waiting.delete(correlation);
    if (result?.outcome?.$case === 'receipt') waiting?.resolve();
    else waiting?.reject(new Error(`a publication was refused: ${JSON.stringify(result?.outcome)}`));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}
