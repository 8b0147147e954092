/** What one transport reaches the network by: closed, it breaks what is open and lets nothing new begin. */
export class Gate {
  readonly #sockets = new Set<WebSocket>();
  #broken = new AbortController();
  #closed = false;

  readonly fetch: typeof globalThis.fetch = (input, init) => {
    const signals = [this.#broken.signal, ...(init?.signal ? [init.signal] : [])];
    return globalThis.fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  /** A class, because the client makes its sockets with `new`. */
  readonly WebSocket: typeof globalThis.WebSocket = gated((socket) => this.#keep(socket));

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#broken.abort(new TypeError('This page has cut the connection.'));
    for (const socket of this.#sockets) socket.close();
  }

  open(): void {
    if (!this.#closed) return;
    this.#closed = false;
    this.#broken = new AbortController();
  }

  #keep(socket: WebSocket): void {
    this.#sockets.add(socket);
    socket.addEventListener('close', () => this.#sockets.delete(socket));
    if (this.#closed) socket.close();
  }
}

const gated = (keep: (socket: WebSocket) => void): typeof globalThis.WebSocket =>
  class extends WebSocket {
    constructor(...address: ConstructorParameters<typeof WebSocket>) {
      super(...address);
      keep(this);
    }
  };
