// The package brings no types.
declare module 'faye' {
  import type { Server } from 'node:http';

  class NodeAdapter {
    constructor(options: { readonly mount: string; readonly timeout: number });
    attach(server: Server): void;
    getClient(): { publish(channel: string, message: unknown): PromiseLike<void> };
  }
  const faye: { readonly NodeAdapter: typeof NodeAdapter };
  export default faye;
}
