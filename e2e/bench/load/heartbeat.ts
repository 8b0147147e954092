import { clientPong, clientText, serverFrame } from './frames.ts';

const ping = 9;
const text = 1;
// A heartbeat comes alone or beside few messages; behind many, a client is heard of anyhow.
const mostBytes = 2_048;
const engineIoPing = '2';
const engineIoPong = clientText('3');

/**
 * What a client has to say to a chunk of what came off its WebSocket, or undefined: a pong to a ping (RFC 6455
 * section 5.5.2), and Engine.IO's own to its own.
 */
export function answerToPing(chunk: Buffer): Buffer | undefined {
  const first = chunk[0] as number;
  if (first < 0x80 || chunk.length > mostBytes) return undefined; // text that is HTTP's never begins so
  for (let at = 0; at < chunk.length; ) {
    const frame = wholeFrame(chunk, at);
    if (frame === undefined) return undefined;
    if (frame.opcode === ping) return clientPong(frame.payload);
    if (frame.opcode === text && frame.payload.toString('latin1') === engineIoPing) return engineIoPong;
    at = frame.end;
  }
  return undefined;
}

/** Undefined also where a chunk begins in the middle of a frame. */
function wholeFrame(chunk: Buffer, at: number) {
  try {
    return serverFrame(chunk, at);
  } catch {
    return undefined;
  }
}
