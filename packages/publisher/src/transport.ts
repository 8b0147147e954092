import { credentials, Metadata } from '@grpc/grpc-js';
import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { fromResults, fromStatus } from './answers.ts';
import { Connections } from './connections.ts';
import { PublishError } from './error.ts';
import type { Answer } from './lane.ts';
import type { Target } from './target.ts';
import { type TokenOption, TokenSource } from './token.ts';

/** Carries drafts to the fleet and answers back. */
export interface Transport {
  /** @returns one answer for each draft, or why there is none; never rejects */
  send(drafts: Draft[]): Promise<readonly Answer[] | PublishError>;
  /** Ends what is under way. */
  close(): void;
}

/** PEM texts. `cert` and `key` are shown to a fleet that asks for a client's certificate. */
export interface TlsOptions {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
}

export interface GrpcTransportOptions {
  readonly targets: readonly Target[];
  readonly tls: TlsOptions;
  readonly token: TokenOption;
  /** How long one call may take, in milliseconds. */
  readonly callMs: number;
  readonly connectionAgeMs: number;
}

const refusedToken: ReadonlySet<string> = new Set(['unauthenticated', 'token_expired', 'token_revoked']);

/** PublishBatch over the connections, with a token that is good. */
export class GrpcTransport implements Transport {
  readonly #connections: Connections;
  readonly #tokens: TokenSource;
  readonly #callMs: number;
  readonly #calls = new Set<{ cancel(): void }>();

  constructor({ targets, tls, token, callMs, connectionAgeMs }: GrpcTransportOptions) {
    this.#connections = new Connections({
      targets: targets.map((target) => ({ target, credentials: credentialsFor(target, tls) })),
      ageMs: connectionAgeMs,
    });
    this.#tokens = new TokenSource(token);
    this.#callMs = callMs;
  }

  async send(drafts: Draft[]): Promise<readonly Answer[] | PublishError> {
    try {
      const token = await this.#tokens.get();
      const answers = await this.#call(drafts, token);
      if (!(answers instanceof PublishError) || !refusedToken.has(answers.code)) return answers;
      const another = await this.#tokens.replace(token);
      return another === undefined ? answers : await this.#call(drafts, another);
    } catch (error) {
      if (error instanceof PublishError) return error;
      return new PublishError('internal', 'The publisher failed; the cause says how.', { cause: error });
    }
  }

  close(): void {
    this.#connections.close();
    for (const call of this.#calls) call.cancel();
  }

  #call(drafts: Draft[], token: string): Promise<readonly Answer[] | PublishError> {
    // grpc-js asks for these once it has a connection for the call, and sends nothing before. Its errors do not tell the
    // two apart: a pick without a connection and a connection that broke under a call are both UNAVAILABLE.
    let left = false;
    const bearer = credentials.createFromMetadataGenerator((_, give) => {
      left = true;
      const metadata = new Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      give(null, metadata);
    });
    const connection = this.#connections.next();
    const done = connection.use();
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + this.#callMs, credentials: bearer };
      const call = connection.client.publishBatch({ drafts }, new Metadata(), options, (error, response) => {
        this.#calls.delete(call);
        done();
        resolve(error === null ? fromResults(response.results, drafts.length) : fromStatus(error, left));
      });
      this.#calls.add(call);
    });
  }
}

function credentialsFor({ cleartext }: Target, { ca, cert, key }: TlsOptions) {
  if (cleartext) return credentials.createInsecure();
  const pem = (text: string | Buffer | undefined) => (text === undefined ? null : Buffer.from(text));
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}
