import type { Ledger } from '@pushfleet/bus';
import { type Backbone, type Namespace, PushfleetError, parseNamespace } from '@pushfleet/core';
import type {
  AcquireSessionRequest,
  AcquireSessionResponse,
  EndSessionRequest,
  ListSessionsRequest,
  ListSessionsResponse,
  ReleaseSessionRequest,
  Session,
  SessionCommit,
  SessionCommitOutcome,
  SessionKey,
  UpdateSessionRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Fleet, Log, Part, Policies, RevocationList } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import { Room } from '../subscriptions/room.ts';
import { Acquiring } from './acquiring.ts';
import { checkAcquire, checkCommits, checkUpdate, readKey } from './check.ts';
import { commit } from './committing.ts';
import { Ending } from './ending.ts';
import { Filling } from './filling.ts';
import { Groups } from './groups.ts';
import { HotState } from './hot-state.ts';
import { SessionIndex } from './index.ts';
import { SessionLedger } from './ledger.ts';
import type { SessionTerms } from './limits.ts';
import { list, notFound } from './listing.ts';
import type { Parts } from './parts.ts';
import { hasEnded, type Key, refOf } from './record.ts';
import { Sweeper } from './sweeper.ts';
import { update } from './updating.ts';
import { Wills } from './wills.ts';

export interface SessionsOptions {
  /** The ledger `sessions`. */
  readonly ledger: Ledger;
  readonly store: Store;
  readonly backbone: Pick<Backbone, 'bus' | 'signals'>;
  readonly fleet: Pick<Fleet, 'instances' | 'steady'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly revocations: Pick<RevocationList, 'revoked'>;
  readonly terms: SessionTerms;
  /** Most sessions of a namespace. */
  readonly limit: (namespace: Namespace) => number;
  /** Turns of the sweeper in which nothing was heard of an instance that is dead then. */
  readonly deadTurns: number;
  /** How long a turn is, in milliseconds. */
  readonly everyMs: number;
  readonly log: Log;
  readonly now?: () => number;
}

/** How long who owned a session may take to let it go, in milliseconds. */
const letGoMs = 500;

/** The sessions of the fleet: records in the log, hot state and hints in Redis. */
export class SessionRegister implements Part {
  readonly name = 'sessions';
  readonly ending: Ending;
  readonly acquiring: Acquiring;
  readonly sweeper: Sweeper;
  readonly filling: Filling;
  readonly wills: Wills;
  readonly groups: Groups;
  /** Commits by what became of them. */
  readonly commits = new Map<SessionCommitOutcome, number>();
  readonly #parts: Parts;
  readonly #options: SessionsOptions;

  constructor(options: SessionsOptions) {
    const { store, backbone, policies, revocations, terms, limit, log, now = Date.now } = options;
    this.#options = options;
    this.wills = new Wills({ backbone, policies, revocations, log, now });
    this.groups = new Groups({ store, backbone, log, now, fill: () => this.filling.fill() });
    const index = new SessionIndex(store, log);
    this.#parts = {
      ledger: new SessionLedger(options.ledger, terms.recordBytes),
      hot: new HotState(store, terms.stateBytes),
      ...{ index, groups: this.groups, wills: this.wills, now, log },
      letGo: (...args) => this.#letGo(...args),
    };
    this.ending = new Ending(this.#parts);
    const room = new Room({ count: (namespace) => index.count(namespace), limit, full });
    this.acquiring = new Acquiring({ parts: this.#parts, ending: this.ending, room });
    this.filling = new Filling({
      store,
      ledger: options.ledger,
      index,
      groups: this.groups,
      ending: this.ending,
      log,
    });
    this.sweeper = new Sweeper({ ...options, parts: this.#parts, ending: this.ending });
  }

  async start(): Promise<void> {
    this.filling.start();
    this.sweeper.start();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    await this.sweeper.close();
    await this.filling.close();
  }

  /** See AcquireSession. */
  async acquire(
    request: AcquireSessionRequest,
    isAwaited: () => boolean = () => true,
  ): Promise<AcquireSessionResponse> {
    const key = readKey(request.key);
    checkAcquire(request);
    return this.acquiring.acquire(key, request, isAwaited);
  }

  /** See UpdateSession. */
  async update(request: UpdateSessionRequest): Promise<Session> {
    const key = readKey(request.key);
    checkUpdate(request);
    return update(this.#parts, this.#options.terms.filters, key, request);
  }

  /** See CommitSessions; outcomes stand in the order of the commits. @throws PushfleetError `request_invalid`, `forbidden` */
  async commit(commits: readonly SessionCommit[]): Promise<readonly SessionCommitOutcome[]> {
    const keys = checkCommits(commits);
    const outcomes = await commit(this.#parts, keys, commits);
    for (const outcome of outcomes) this.commits.set(outcome, (this.commits.get(outcome) ?? 0) + 1);
    return outcomes;
  }

  /** See ReleaseSession. */
  async release(request: ReleaseSessionRequest): Promise<Date> {
    return this.ending.release(readKey(request.key), request);
  }

  /** See EndSession. */
  async end(request: EndSessionRequest): Promise<void> {
    await this.ending.end(readKey(request.key), request);
  }

  /** @throws PushfleetError `not_found`, `unavailable` */
  async get(name: SessionKey | undefined): Promise<Session> {
    const held = await this.#parts.ledger.get(refOf(readKey(name)));
    if (held === undefined || hasEnded(held.record, this.#parts.now())) throw notFound();
    return held.record;
  }

  /** See ListSessions. */
  async list(request: ListSessionsRequest): Promise<ListSessionsResponse> {
    return list(this.#parts, parseNamespace(request.namespace), request);
  }

  async #letGo(instance: string, key: Key, generation: bigint, ended = false): Promise<void> {
    const { namespace, protocol, id } = key;
    const question = { namespace, protocol, id, generation: String(generation), ...(ended && { ended }) };
    await this.#options.backbone.signals
      .ask(`sessions.${instance}`, question, letGoMs, () => true)
      .catch((error: unknown) => this.#options.log.debug({ err: error }, 'nobody was asked to let go'));
  }
}

const full = (held: number, limit: number): PushfleetError =>
  new PushfleetError(
    'too_many_connections',
    `The namespace has ${held} sessions, and ${limit} is the most it may have; end some, or ask the operator for more.`,
    { detail: { limit, held } },
  );
