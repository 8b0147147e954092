import { after, before, describe } from 'node:test';
import type { Bus, Namespace } from '@pushfleet/core';
import { deleting, finding, gettingAt } from './deletion.ts';
import { following } from './follow.ts';
import { keepingLedgers } from './ledger.ts';
import { publishing } from './publish.ts';
import { queueing } from './queue.ts';
import { replaying } from './replay.ts';
import { retaining } from './retained.ts';
import { keeping } from './retention.ts';
import { sharing } from './share.ts';
import { keepingShelves } from './shelf.ts';
import { signalling } from './signals.ts';
import { tailing } from './tail.ts';
import type { BusUnderTest } from './under-test.ts';
import { working } from './work.ts';

export { suiteQueueTerms } from './queue.ts';
export { suiteRetentionMs } from './retention.ts';
export { suiteGroupTerms } from './share.ts';
export { allRetained, draftOf, replayed, Seen, store } from './tools.ts';
export type { BusUnderTest } from './under-test.ts';

/** What every backbone promises; a test file hands in how to make one. */
export function busSuite(name: string, makeBackbone: () => Promise<BusUnderTest>): void {
  describe(`${name} keeps the bus contract`, () => {
    let under: BusUnderTest;
    let namespaces = 0;
    /** A namespace of its own for each test. */
    const fresh = (): Bus => under.backbone.bus(`ns-${++namespaces}` as Namespace);

    before(async () => {
      under = await makeBackbone();
    });
    after(() => under.end());

    publishing(fresh);
    following(fresh, () => under.backbone);
    replaying(fresh);
    retaining(fresh);
    finding(fresh);
    gettingAt(fresh);
    deleting(fresh, makeBackbone);
    keeping(fresh, makeBackbone);
    working(fresh);
    sharing(() => under);
    signalling(() => under.backbone);
    keepingLedgers(() => under.backbone.ledger('revocations'));
    queueing(() => under);
    keepingShelves(() => under.backbone.shelf('attempts'));
    tailing(
      (name) => under.backbone.bus(name as Namespace),
      (name) => under.backbone.tail(name),
    );
  });
}
