import { type CloseCode, closeDetail } from '@pushfleet/edge';
import { closeFrame, textFrame } from '@pushfleet/edge/websocket';
import { wsCode } from './close-code.ts';
import { closing } from './codec.ts';

interface Farewell {
  /** Where it is not the usual one of the code. */
  readonly closeCode?: number | undefined;
  /** What whoever refused asks for. */
  readonly retryAfterMs?: number | undefined;
}

/** The last bytes of a connection: why it ends, in words and as a close code. */
export function farewell(code: CloseCode, detail: string = closeDetail(code), o: Farewell = {}): Buffer {
  const { closeCode = wsCode(code), retryAfterMs } = o;
  return Buffer.concat([textFrame(closing(code, detail, retryAfterMs)), closeFrame(closeCode, code)]);
}
