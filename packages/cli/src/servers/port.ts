import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** What a server says when somebody else has its port. */
const taken = /address already in use|EADDRINUSE|Address already in use/i;

/**
 * A port on 127.0.0.1 that is free now. It lies below the ports that systems give to outgoing connections:
 * a server that is stopped and started again finds it free, and a client that tries to reconnect meanwhile is
 * never connected to itself.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768);
    if (await isFree(port)) return port;
  }
}

/** Whether a server could listen on this port of 127.0.0.1 now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** Starts a server on ports that somebody may take first, and again on others where that happened. */
export async function withFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const ports: number[] = [];
    while (ports.length < count) ports.push(await freePort());
    try {
      return await start(ports);
    } catch (error) {
      if (attempt === 5 || !taken.test(String(error))) throw error;
    }
  }
}
