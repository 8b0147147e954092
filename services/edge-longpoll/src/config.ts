import { edgeFields, fleetFields, presenceFields } from '@pushfleet/edge';
import { type Config, field } from '@pushfleet/runtime';
import { bayeuxFields } from './bayeux/fields.ts';

export const title = 'edge-longpoll';

const own = {
  ...edgeFields({
    env: 'EDGE_LONGPOLL',
    noun: 'connections',
    port: 8083,
    opsPort: 9183,
    aged: 'A Comet response is asked to come back after this time, give or take a tenth, so that load spreads over new instances; a poll that waits longer is answered. Bayeux sessions and their WebSockets do not age.',
    overrun:
      'one more, and a Comet response is asked to come back, a poll is answered, and a Bayeux session reads from the log again what did not fit.',
  }),
  ...bayeuxFields,
  waitMs: field.duration({
    env: 'PUSHFLEET_EDGE_LONGPOLL_WAIT_SECONDS',
    doc: 'How long a poll waits that does not say how long.',
    fallback: 25,
    min: 0,
  }),
  mostWaitMs: field.duration({
    env: 'PUSHFLEET_EDGE_LONGPOLL_WAIT_MOST_SECONDS',
    doc: 'Longest wait of a poll; who asks for more waits this long.',
    fallback: 60,
    min: 1,
  }),
  batchCount: field.integer({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BATCH_COUNT',
    doc: 'Most publications in the answer to a poll or to a Bayeux connect; on a Bayeux WebSocket, most that are sent until the next connect proves that they arrived.',
    fallback: 200,
    min: 1,
  }),
  batchBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_LONGPOLL_BATCH_BYTES',
    doc: 'Most bytes of publications in the answer to a poll, except that one publication always fits. Bayeux adds nothing to an answer that has as many, and sends no more on a WebSocket until the next connect.',
    fallback: '256KiB',
    min: 1_024,
  }),
  retainedCount: field.integer({
    env: 'PUSHFLEET_EDGE_LONGPOLL_RETAINED_COUNT',
    doc: 'Most retained publications in a first answer, which holds all of them; a poll that matches more is refused.',
    fallback: 1_000,
    min: 1,
  }),
  retainedBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_LONGPOLL_RETAINED_BYTES',
    doc: 'Most bytes of the retained publications in a first answer.',
    fallback: '4MiB',
    min: 1_024,
  }),
  responseBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES',
    doc: 'A Comet response ends after about so many bytes and its client comes back, because a browser keeps all of it.',
    fallback: '1MiB',
    min: 4_096,
  }),
};

export const fields = { ...fleetFields, ...presenceFields, ...own };

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> & Pick<Config<typeof fleetFields>, 'drainMs' | 'requestMs'>;
