import { connect, type Socket } from 'node:net';
import { clientText } from './frames.ts';
import type { Turn } from './protocol.ts';

export interface Opening {
  readonly host: string;
  readonly port: number;
  /** The local address. */
  readonly source: string;
  /** The whole HTTP request. */
  readonly request: string;
  /** What is said over a WebSocket before the client listens. */
  readonly turns: readonly Turn[];
  /** Where what comes is put: it has to be read before the next chunk comes. */
  readonly buffer: Buffer;
}

/**
 * A client that knows of HTTP only where the response's head ends, and of WebSocket what it has to say first.
 *
 * @param on is given everything that comes, the head with what came in the same chunk as one
 * @param lost is told when the connection ends
 * @returns `opened` resolves once the response has begun with a 200 or a 101 and every turn had its answer
 */
export function openClient(
  { host, port, source, request, turns, buffer }: Opening,
  on: (chunk: Buffer) => void,
  lost: (reason: string) => void,
): { readonly socket: Socket; readonly opened: Promise<void> } {
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  let head: string | undefined = '';
  let talk: Talk | undefined;
  const begin = (bytes: number) => {
    head += buffer.toString('latin1', 0, bytes);
    if (!head?.includes('\r\n\r\n')) return;
    const chunk = Buffer.from(head, 'latin1');
    if (/^HTTP\/1\.1 (200|101) /.test(head)) talk = new Talk(turns, (text) => socket.write(clientText(text)));
    else reject(new Error(`a client was answered: ${head}`));
    head = undefined;
    hear(chunk); // what a client missed may come with the head
  };
  const hear = (chunk: Buffer) => {
    on(chunk);
    if (talk?.hear(chunk) !== 'over') return;
    talk = undefined;
    resolve();
  };
  const callback = (bytes: number) => {
    if (head === undefined) hear(buffer.subarray(0, bytes));
    else begin(bytes);
    return true;
  };
  const socket = connect({ host, port, localAddress: source, onread: { buffer, callback } });
  const end = (reason: string) => {
    reject(new Error(`a client ${reason}`));
    lost(reason);
  };
  socket.on('error', (error) => end(`failed: ${error.message}`));
  socket.on('close', () => end('was closed by the server'));
  socket.write(request);
  return { socket, opened };
}

/** What a client and a server say to each other, one turn after the other. */
class Talk {
  readonly #turns: readonly Turn[];
  readonly #say: (text: string) => void;
  #next = 0;
  #heard = '';

  constructor(turns: readonly Turn[], say: (text: string) => void) {
    this.#turns = turns;
    this.#say = say;
    if (turns[0] !== undefined) say(turns[0].say);
  }

  hear(chunk: Buffer): 'over' | 'going on' {
    this.#heard += chunk.toString('latin1');
    for (;;) {
      const turn = this.#turns[this.#next];
      if (turn === undefined) return 'over';
      const answer = new RegExp(turn.until).exec(this.#heard);
      if (answer === null) return 'going on';
      this.#heard = this.#heard.slice(answer.index + answer[0].length);
      const following = this.#turns[++this.#next];
      if (following !== undefined) this.#say(following.say.replaceAll('{}', answer[1] ?? ''));
    }
  }
}
