import { connect, type Socket } from 'node:net';

export interface Opening {
  readonly host: string;
  readonly port: number;
  /** The local address. */
  readonly source: string;
  /** The whole HTTP request. */
  readonly request: string;
  /** Where what comes is put: it has to be read before the next chunk comes. */
  readonly buffer: Buffer;
}

/**
 * An HTTP client that knows of HTTP only where the response's head ends.
 *
 * @param on is given everything that comes, the head with what came in the same chunk as one
 * @param lost is told when the connection ends
 * @returns `opened` resolves once the response has begun with a 200
 */
export function openClient(
  { host, port, source, request, buffer }: Opening,
  on: (chunk: Buffer) => void,
  lost: (reason: string) => void,
): { readonly socket: Socket; readonly opened: Promise<void> } {
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  let head: string | undefined = '';
  const begin = (bytes: number) => {
    head += buffer.toString('latin1', 0, bytes);
    if (!head?.includes('\r\n\r\n')) return;
    const chunk = Buffer.from(head, 'latin1');
    if (head.startsWith('HTTP/1.1 200 ')) resolve();
    else reject(new Error(`a client was answered: ${head}`));
    head = undefined;
    on(chunk); // what a client missed may come with the head
  };
  const callback = (bytes: number) => {
    if (head === undefined) on(buffer.subarray(0, bytes));
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
