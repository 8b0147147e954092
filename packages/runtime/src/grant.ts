import type { Namespace, Topic, TopicFilter } from '@pushfleet/core';

export type Action = 'publish' | 'subscribe' | 'presence' | 'manage';

/** What a verified token allows, and for how long. */
export interface Grant {
  readonly subject: string;
  readonly namespace: Namespace;
  /** Unix time in milliseconds. */
  readonly expiresAt: number;
  /** `jti` */
  readonly tokenId?: string;
  /** `iat`, Unix time in milliseconds. */
  readonly issuedAt?: number;
  mayPublish(topic: Topic): boolean;
  /** Covered by one of the filters granted, never narrowed. `$presence/<t>` needs presence on `t`. */
  maySubscribe(filter: TopicFilter): boolean;
  mayPresence(filter: TopicFilter): boolean;
  mayManage(filter: TopicFilter): boolean;
  /** @throws PushfleetError `forbidden`, naming the action, the filter and the claim that would allow it */
  require(action: Action, filter: TopicFilter | Topic): void;
}
