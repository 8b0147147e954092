import { covers, type Namespace, PushfleetError, quote, type Topic, type TopicFilter } from '@pushfleet/core';

export type Action = 'publish' | 'subscribe' | 'presence' | 'manage';

/** The filters a token grants, by what they allow. */
export type Grants = Readonly<Record<Action, readonly TopicFilter[]>>;

/** Whose token it is and how long it lasts. */
export interface GrantFacts {
  readonly subject: string;
  readonly namespace: Namespace;
  /** Unix time in milliseconds. */
  readonly expiresAt: number;
  /** Names the token without telling anything about it; see `connection.ts`. */
  readonly tokenDigest: string;
  /** `jti` */
  readonly tokenId?: string;
  /** `iat`, Unix time in milliseconds. */
  readonly issuedAt?: number;
}

/** What a verified token allows, and for how long. */
export interface Grant extends GrantFacts {
  /** As the token says them, for who has to keep the grant beyond this process. */
  readonly grants: Grants;
  mayPublish(topic: Topic): boolean;
  /** Covered by one of the filters granted, never narrowed. `$presence/<t>` needs presence on `t`. */
  maySubscribe(filter: TopicFilter): boolean;
  mayPresence(filter: TopicFilter): boolean;
  mayManage(filter: TopicFilter): boolean;
  /** Those of the filters granted by which it may subscribe to this one, for who checks that right again later. */
  subscribeGrants(filter: TopicFilter): readonly TopicFilter[];
  /** @throws PushfleetError `forbidden`, naming the action, the filter and the claim that would allow it */
  require(action: Action, filter: TopicFilter | Topic): void;
}

const presencePrefix = '$presence/';

/** The grant of a token whose claims have been checked, now or by who kept them. Frozen: it is shared by everyone who shows that token. */
export const createGrant = (facts: GrantFacts, grants: Grants): Grant => new CheckedGrant(facts, grants);

// A class, as there is one of it for each connection: nine closures would be a kilobyte.
class CheckedGrant implements Grant {
  declare readonly subject: string;
  declare readonly namespace: Namespace;
  declare readonly expiresAt: number;
  declare readonly tokenDigest: string;
  declare readonly tokenId?: string;
  declare readonly issuedAt?: number;
  readonly grants: Grants;

  constructor(facts: GrantFacts, grants: Grants) {
    Object.assign(this, facts);
    this.grants = grants;
    Object.freeze(this);
  }

  mayPublish(topic: Topic): boolean {
    return this.#allows('publish', topic);
  }

  maySubscribe(filter: TopicFilter): boolean {
    return this.#allows('subscribe', filter);
  }

  mayPresence(filter: TopicFilter): boolean {
    return this.#allows('presence', filter);
  }

  mayManage(filter: TopicFilter): boolean {
    return this.#allows('manage', filter);
  }

  subscribeGrants(filter: TopicFilter): readonly TopicFilter[] {
    return this.#covering('subscribe', filter);
  }

  require(action: Action, filter: TopicFilter | Topic): void {
    if (!this.#allows(action, filter)) throw forbidden(action, filter);
  }

  #allows(action: Action, filter: TopicFilter | Topic): boolean {
    return this.#covering(action, filter).length > 0;
  }

  #covering(action: Action, filter: TopicFilter | Topic): readonly TopicFilter[] {
    // Every topic is a filter, and for a topic "covers" is "matches".
    const asked = filter as TopicFilter;
    if (action === 'subscribe' && asked.startsWith(presencePrefix)) {
      const presence = this.#covering('presence', asked.slice(presencePrefix.length) as TopicFilter);
      return presence.map((granted) => `${presencePrefix}${granted}` as TopicFilter);
    }
    return this.grants[action].filter((granted) => covers(granted, asked));
  }
}

const verbs: Readonly<Record<Action, string>> = {
  publish: 'publish to',
  subscribe: 'subscribe to',
  presence: 'be present on, or see who is present on,',
  manage: 'manage',
};

function forbidden(action: Action, filter: TopicFilter | Topic): PushfleetError {
  const claim = filter.startsWith(presencePrefix) && action === 'subscribe' ? 'presence' : action;
  return new PushfleetError(
    'forbidden',
    `The token does not allow you to ${verbs[action]} ${quote(filter)}. It needs one filter under "${claim}" that covers all of it.`,
    { detail: { action, filter } },
  );
}
