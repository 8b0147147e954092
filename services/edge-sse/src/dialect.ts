import { type Dialect, type Framing, frame, lastFrame } from '@pushfleet/edge';
import type { Encoder } from '@pushfleet/hub';
import { closing, type Format, gap, greeting, heartbeat, opened, place, publicationEvent } from './codec.ts';

/** One for each form of the bytes, so that streams of the same form share what was encoded. */
export const dialects: Readonly<Record<Format, Readonly<Record<Framing, Dialect>>>> = {
  payload: { chunked: dialect('payload', 'chunked'), plain: dialect('payload', 'plain') },
  cloudevents: { chunked: dialect('cloudevents', 'chunked'), plain: dialect('cloudevents', 'plain') },
};

function dialect(format: Format, framing: Framing): Dialect {
  const encode: Encoder<Buffer> = ({ publication, cursor, retained }) =>
    frame(framing, publicationEvent(format, publication, cursor, retained));
  return {
    encode: (item) =>
      item.kind === 'publication' ? item.value.encoded(encode) : frame(framing, gap(item.from, item.to)),
    greeting: (retryMs) => frame(framing, greeting(retryMs)),
    opened: (cursor) => frame(framing, opened(cursor)),
    heartbeat: frame(framing, heartbeat),
    place: (cursor) => frame(framing, place(cursor)),
    closing: (...why) => lastFrame(framing, closing(...why)),
  };
}
