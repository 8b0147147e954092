import { parseCursor, parseTopic } from '@pushfleet/core';
import { type MatchQuestion, SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkCount, checkEnum, checkId } from './check.ts';
import { recordLimits } from './limits.ts';

/** @throws PushfleetError `request_invalid`, `topic_invalid`, `cursor_invalid` */
export function checkQuestions(kind: SubscriptionKind, questions: readonly MatchQuestion[]): void {
  checkEnum('kind', kind, SubscriptionKind);
  checkCount('questions', questions.length, 0, recordLimits.questions);
  for (const { namespace, topic, cursor } of questions) {
    checkId('questions.namespace', namespace);
    parseTopic(topic);
    parseCursor(cursor);
  }
}
