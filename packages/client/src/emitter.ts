type Handlers<Events> = { [K in keyof Events]?: Set<(value: Events[K]) => void> };

/** Handlers by event. One that throws disturbs neither the others nor the client: its error is reported as uncaught. */
export class Emitter<Events> {
  readonly #handlers: Handlers<Events> = {};

  on<K extends keyof Events>(event: K, handler: (value: Events[K]) => void): () => void {
    const handlers = this.#handlers[event] ?? new Set();
    this.#handlers[event] = handlers;
    handlers.add(handler);
    return () => handlers.delete(handler);
  }

  emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const handler of [...(this.#handlers[event] ?? [])]) {
      try {
        handler(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  hears(event: keyof Events): boolean {
    return (this.#handlers[event]?.size ?? 0) > 0;
  }
}
