import {
  type Member,
  type MemberState,
  type PresenceStatus,
  PushfleetError,
  type Topic,
} from '@pushfleet/core';
import {
  type Config,
  createPresenceCalls,
  type Grant,
  type Log,
  type Metrics,
  type Part,
  type Policies,
  type PresenceCalls,
  type registryFields,
  requirePresencePolicy,
} from '@pushfleet/runtime';
import type { presenceFields } from './fields.ts';
import { invalid } from './message-fields.ts';
import { PresenceDesk } from './presence-desk.ts';
import { PresenceLease } from './presence-lease.ts';
import { PresenceLists } from './presence-lists.ts';
import { checked, keyOf, notPresent, requireTopic } from './presence-rules.ts';

/** By what a member is there. */
export interface PresenceClient {
  /**
   * What others see as the member's `client`, 1 to 1,024 bytes of UTF-8. A client that comes back under the same id,
   * wherever, is the same member, and nobody hears that it was away: take a name that the client keeps, and the
   * connection's id only where it has none.
   */
  readonly id: string;
  /** The connection (or session) of this edge that the member ends with. */
  readonly connection: string;
}

/** How somebody enters. */
export interface Entry extends Partial<MemberState> {
  /** Online where it is not said. */
  readonly status?: PresenceStatus;
  /** The member leaves after this time unless entered again, in milliseconds from 1,000, rounded up to seconds. Absent: with its connection. */
  readonly ttlMs?: number;
}

export interface MemberPage {
  /** From the page before; absent: from the beginning. */
  readonly after?: string;
  /** Most members, 1 to 1,000; 100 where it is not said. A page that would be larger than 256 KiB has fewer. */
  readonly limit?: number;
  /** Only the clients of this subject. */
  readonly subject?: string;
}

export interface Members {
  /** In the order of subject and client. */
  readonly members: readonly Member[];
  /** The `after` of the next page; absent: this was the last one. */
  readonly next?: string;
  /** How many the topic has at this moment, on all pages. */
  readonly total: number;
}

/**
 * How a connection ended: `left`, the client said goodbye, and its members leave at once; `lost`, it may come back
 * (drain, age, a broken network), and its members linger for PUSHFLEET_PRESENCE_LINGER_SECONDS, or for as long as the
 * client has said, an hour at most.
 */
export type Parting = 'left' | 'lost' | { readonly lingerMs: number };

/**
 * Who is on a topic, as an edge says and asks it. All of them reject with PushfleetError: `forbidden` where the
 * grant or the topic's policy has no presence, `topic_invalid` for a topic of the fleet's own or one too long,
 * `request_invalid`, `payload_too_large` for the state, `rate_limited`, `storage_full` where topic or namespace have
 * their most members, `unavailable` without the registry or its Redis, `draining`.
 */
export interface Presence extends Part {
  /** Enters a topic, or says again how one is there; also the heartbeat of an entry with a time to live. */
  enter(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member>;
  /** Changes what is given of a member that entered by this connection. Rejects with `not_found` where none did. */
  update(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member>;
  /** Leaves a topic; harmless where it is not there. */
  leave(grant: Grant, topic: Topic, client: PresenceClient): Promise<void>;
  /** Who is on a topic. A subject has two lists under way, others wait for their turn; `rate_limited` where 128 wait. */
  list(grant: Grant, topic: Topic, page: MemberPage): Promise<Members>;
  /** The members of a connection that ended leave all their topics. Never rejects, and need not be waited for. */
  leaveAll(connection: string, how: Parting): void;
}

export interface PresenceOptions {
  /** The service, as the registry's operators know it. */
  readonly name: string;
  readonly policies: Pick<Policies, 'of'>;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, 'gauge'>;
}

type PresenceConfig = Config<typeof registryFields & typeof presenceFields>;

const nothing = new Uint8Array(0);
const pageMost = 1_000;
/** The registry takes no more. */
const lingerMostMs = 3_600_000;
/** How long closing waits for the registry, in milliseconds. */
const closeMs = 2_000;

/**
 * Presence by the registry. Without PUSHFLEET_REGISTRY_URL everything is refused as `unavailable`. Start it before the
 * edge and close it behind: connections that end meanwhile have members that leave.
 *
 * @throws ConfigError as `internalClient`
 */
export function createPresence(config: PresenceConfig, options: PresenceOptions): Presence {
  return new RegistryPresence(createPresenceCalls(config, options), config, options);
}

class RegistryPresence implements Presence {
  readonly name = 'presence';
  readonly #calls: PresenceCalls | undefined;
  readonly #config: Pick<PresenceConfig, 'presenceLingerMs' | 'presenceTopics'>;
  readonly #policies: PresenceOptions['policies'];
  readonly #lease: PresenceLease | undefined;
  readonly #desk: PresenceDesk | undefined;
  readonly #lists = new PresenceLists();

  constructor(
    calls: PresenceCalls | undefined,
    config: PresenceConfig,
    { policies, log, metrics }: PresenceOptions,
  ) {
    this.#calls = calls;
    this.#config = config;
    this.#policies = policies;
    if (calls === undefined) return;
    const lease = new PresenceLease({ calls, log, onNew: () => desk.wake() });
    const desk = new PresenceDesk({ calls, lease, log });
    this.#lease = lease;
    this.#desk = desk;
    metrics?.gauge(
      'pushfleet_presence_members',
      { description: 'Members that entered by this edge.' },
      () => desk.size,
    );
  }

  async start(): Promise<void> {
    this.#lease?.start();
  }

  /** Connections that end while the edge drains have members that leave: they are told until the end. */
  async drain(): Promise<void> {}

  async close(): Promise<void> {
    await this.#desk?.close(this.#config.presenceLingerMs, AbortSignal.timeout(closeMs));
    this.#lease?.close();
    this.#calls?.close();
  }

  async enter(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member> {
    const desk = this.#require(grant, topic);
    const key = keyOf(grant, topic, client.id);
    const { status = 'online', state = nothing, stateContentType = '', ttlMs = 0 } = entry;
    const wanted = checked({ ...key, status, state, stateContentType, ttlMs, since: 0 });
    const { presenceTopics } = this.#config;
    if (
      desk.find(key, client.connection) === undefined &&
      desk.countOf(client.connection) >= presenceTopics
    ) {
      throw new PushfleetError(
        'rate_limited',
        `A connection is present on at most ${presenceTopics} topics; leave one.`,
        {
          detail: { limit: presenceTopics },
        },
      );
    }
    return await desk.put(wanted, client.connection);
  }

  async update(grant: Grant, topic: Topic, client: PresenceClient, entry: Entry): Promise<Member> {
    const desk = this.#require(grant, topic);
    const known = desk.find(keyOf(grant, topic, client.id), client.connection);
    if (known === undefined) throw notPresent(topic, client.id);
    return await desk.put(checked({ ...known, ...entry }), client.connection);
  }

  async leave(grant: Grant, topic: Topic, client: PresenceClient): Promise<void> {
    await this.#require(grant, topic).leave(keyOf(grant, topic, client.id), client.connection);
  }

  async list(grant: Grant, topic: Topic, page: MemberPage): Promise<Members> {
    this.#require(grant, topic);
    const { subject = '', after = '', limit = 100 } = page;
    if (!Number.isInteger(limit) || limit < 1 || limit > pageMost)
      throw invalid(`A page has 1 to ${pageMost} members, not ${limit}.`);
    const question = { namespace: grant.namespace, topic, subject, after, limit };
    const calls = this.#calls as PresenceCalls;
    const asker = `${grant.namespace} ${grant.subject}`;
    const { members, next, total } = await this.#lists.run(asker, () => calls.list(question));
    return { members, total, ...(next !== '' && { next }) };
  }

  leaveAll(connection: string, how: Parting): void {
    this.#desk?.leaveAll(connection, this.#lingerOf(how));
  }

  #lingerOf(how: Parting): number {
    if (how === 'left') return 0;
    return how === 'lost' ? this.#config.presenceLingerMs : Math.min(how.lingerMs, lingerMostMs);
  }

  /** @throws PushfleetError `topic_invalid`, `forbidden`, `unavailable` */
  #require(grant: Grant, topic: Topic): PresenceDesk {
    requireTopic(topic);
    grant.require('presence', topic);
    requirePresencePolicy(this.#policies, grant.namespace, topic);
    if (this.#desk !== undefined) return this.#desk;
    throw new PushfleetError(
      'unavailable',
      'Presence needs the registry, and this service has none: its operator sets PUSHFLEET_REGISTRY_URL.',
    );
  }
}
