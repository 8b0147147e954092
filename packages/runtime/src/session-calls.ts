import type {
  AcquireSessionRequest,
  AcquireSessionResponse,
  EndSessionRequest,
  ReleaseSessionRequest,
  Session,
  SessionCommit,
  SessionCommitOutcome,
  SessionKey,
  UpdateSessionRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';

/** The registry's sessions, as gRPC has them. All reject with PushfleetError. */
export interface SessionCalls {
  acquire(request: AcquireSessionRequest): Promise<AcquireSessionResponse>;
  /** The record afterwards. `conflict`: the generation is over. */
  update(request: UpdateSessionRequest): Promise<Session>;
  /** Outcomes stand in the order of the commits, of which there are at most 1,000. */
  commit(commits: readonly SessionCommit[]): Promise<readonly SessionCommitOutcome[]>;
  /** When the session ends unless it is acquired before. `conflict`: the generation is over. */
  release(request: ReleaseSessionRequest): Promise<Date | undefined>;
  /** The record; undefined where there is none. */
  get(key: SessionKey): Promise<Session | undefined>;
  /** `conflict`: the generation is over. */
  end(request: EndSessionRequest): Promise<void>;
  close(): void;
}
