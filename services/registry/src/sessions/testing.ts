// What the tests of sessions share: the service as other processes call it.
import { promisify } from 'node:util';
import type { Client, ServiceError } from '@grpc/grpc-js';
import {
  AcquireSessionRequest,
  type AcquireSessionResponse,
  EndSessionRequest,
  ListSessionsRequest,
  type ListSessionsResponse,
  ReleaseSessionRequest,
  type Session,
  SessionCommit,
  SessionCommitOutcome,
  type SessionKey,
  SessionServiceClient,
  UpdateSessionRequest,
  Will,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { fromGrpc, type internalClient } from '@pushfleet/runtime';

export const team = 'team-a';
export const keyOf = (id: string, protocol = 'mqtt', namespace = team): SessionKey => ({
  ...{ namespace, protocol, id },
});

/** A will that says `gone` on a topic. */
export const willOf = (topic: string, rest: Partial<Will> = {}): Will =>
  Will.fromPartial({
    ...{ topic, payload: Buffer.from('gone'), contentType: 'text/plain', source: 'alice' },
    ...rest,
  });

type Wanted<T> = Omit<Partial<T>, 'key'>;
type Method = (request: unknown, done: (error: ServiceError | null, answer: unknown) => void) => unknown;

/** The service, with answers as promises that reject with PushfleetError. */
export class SessionApi {
  readonly client: SessionServiceClient;

  constructor({ target, credentials, options }: ReturnType<typeof internalClient>) {
    this.client = new SessionServiceClient(target, credentials, options);
  }

  async #ask<T>(name: keyof SessionServiceClient, request: unknown): Promise<T> {
    const method = (this.client[name] as Method).bind(this.client);
    try {
      return (await promisify(method)(request)) as T;
    } catch (error) {
      throw fromGrpc(error as ServiceError);
    }
  }

  acquire(key: SessionKey, rest: Wanted<AcquireSessionRequest> = {}): Promise<AcquireSessionResponse> {
    const usual = { instanceId: 'edge-1', subject: 'alice', expirySeconds: 600 };
    return this.#ask(
      'acquireSession',
      AcquireSessionRequest.fromPartial({ key, ...usual, ...rest } as AcquireSessionRequest),
    );
  }

  /** The session as its owner has it. */
  async own(key: SessionKey, rest: Wanted<AcquireSessionRequest> = {}): Promise<Session> {
    return (await this.acquire(key, rest)).session as Session;
  }

  async update(key: SessionKey, generation: bigint, rest: Wanted<UpdateSessionRequest>): Promise<Session> {
    const request = UpdateSessionRequest.fromPartial({ key, generation, ...rest } as UpdateSessionRequest);
    const answer = await this.#ask<{ session: Session }>('updateSession', request);
    return answer.session;
  }

  /** The outcomes' names, such as `stored`. */
  async commitAll(commits: readonly SessionCommit[]): Promise<string[]> {
    const { results } = await this.#ask<{ results: { outcome: SessionCommitOutcome }[] }>('commitSessions', {
      commits,
    });
    return results.map(({ outcome }) => nameOf(outcome));
  }

  async commit(key: SessionKey, generation: bigint, rest: Wanted<SessionCommit> = {}): Promise<string> {
    const [outcome = ''] = await this.commitAll([commitOf(key, generation, rest)]);
    return outcome;
  }

  async release(
    key: SessionKey,
    generation: bigint,
    rest: Wanted<ReleaseSessionRequest> = {},
  ): Promise<Date | undefined> {
    const request = ReleaseSessionRequest.fromPartial({ key, generation, ...rest } as ReleaseSessionRequest);
    return (await this.#ask<{ expiresAt?: Date }>('releaseSession', request)).expiresAt;
  }

  async end(key: SessionKey, rest: Wanted<EndSessionRequest> = {}): Promise<void> {
    await this.#ask('endSession', EndSessionRequest.fromPartial({ key, ...rest } as EndSessionRequest));
  }

  async get(key: SessionKey): Promise<Session> {
    return (await this.#ask<{ session: Session }>('getSession', { key })).session;
  }

  list(rest: Partial<ListSessionsRequest> = {}): Promise<ListSessionsResponse> {
    return this.#ask('listSessions', ListSessionsRequest.fromPartial({ namespace: team, ...rest }));
  }

  /** All ids of a list, page by page. */
  async ids(rest: Partial<ListSessionsRequest> = {}): Promise<string[]> {
    const ids: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await this.list({ ...rest, pageToken });
      ids.push(...page.sessions.map(({ key }) => key?.id ?? ''));
      if (page.nextPageToken === '') return ids;
      pageToken = page.nextPageToken;
    }
  }

  close(): void {
    (this.client as unknown as Client).close();
  }
}

export const commitOf = (
  key: SessionKey,
  generation: bigint,
  rest: Wanted<SessionCommit> = {},
): SessionCommit => SessionCommit.fromPartial({ key, generation, ...rest } as SessionCommit);

export const fieldsOf = (fields: Readonly<Record<string, string>>): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Buffer.from(value)]));

export const textsOf = (fields: Readonly<Record<string, Uint8Array>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Buffer.from(value).toString()]));

function nameOf(outcome: SessionCommitOutcome): string {
  const name = Object.entries(SessionCommitOutcome).find(([, value]) => value === outcome)?.[0] ?? '';
  return name.replace('SESSION_COMMIT_OUTCOME_', '').toLowerCase();
}
