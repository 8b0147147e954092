import { type Dialect, type Framing, frame, lastFrame } from '@pushfleet/edge';
import type { Encoder } from '@pushfleet/hub';
import {
  closingText,
  type FrameForm,
  frameGreeting,
  frameHeartbeat,
  frameItem,
  gapText,
  ndjson,
  openText,
  placeText,
  publicationText,
  scriptLiteral,
} from './codec.ts';

/** Of /comet/stream; one for each framing, so that streams of the same form share what was encoded. */
export const streamDialects: Readonly<Record<Framing, Dialect>> = {
  chunked: streamDialect('chunked'),
  plain: streamDialect('plain'),
};

function streamDialect(framing: Framing): Dialect {
  const line = (text: string): Buffer => frame(framing, ndjson.item(text));
  const encode: Encoder<Buffer> = (delivery) => line(publicationText(delivery));
  return {
    encode: (item) =>
      item.kind === 'publication' ? item.value.encoded(encode) : line(gapText(item.from, item.to)),
    greeting: () => frame(framing, ndjson.greeting),
    opened: (cursor) => line(openText(cursor)),
    heartbeat: frame(framing, ndjson.heartbeat),
    place: (cursor) => line(placeText(cursor)),
    closing: (...why) => lastFrame(framing, ndjson.item(closingText(...why))),
  };
}

const publicationLiteral: Encoder<string> = (delivery) => scriptLiteral(publicationText(delivery));

/** Of one response of /comet/frame: its nonce is in every item, so that only the text within is shared. */
export function frameDialect(framing: Framing, form: FrameForm): Dialect {
  const script = (text: string): string => frameItem(form, scriptLiteral(text));
  return {
    encode: (item) =>
      frame(
        framing,
        item.kind === 'publication'
          ? frameItem(form, item.value.encoded(publicationLiteral))
          : script(gapText(item.from, item.to)),
      ),
    greeting: () => frame(framing, frameGreeting),
    opened: (cursor) => frame(framing, script(openText(cursor))),
    heartbeat: frame(framing, frameHeartbeat),
    place: (cursor) => frame(framing, script(placeText(cursor))),
    closing: (...why) => lastFrame(framing, script(closingText(...why))),
  };
}
