import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** One address in front of several instances, as a service's address in Kubernetes: a TCP proxy, round robin. */
export interface Door {
  readonly address: string;
  close(): void;
}

/** @param instances the host:port of every instance that lives at this moment */
export async function openDoor(instances: () => readonly string[]): Promise<Door> {
  let turn = 0;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  };
  const enter = (caller: Socket, attempts: number): void => {
    const addresses = instances();
    const address = addresses[turn++ % addresses.length];
    if (address === undefined || attempts === 0) {
      caller.destroy();
      return;
    }
    const [host, port] = address.split(':') as [string, string];
    const instance = connect({ host, port: Number(port), noDelay: true });
    keep(instance);
    instance.once('error', () => enter(caller, attempts - 1));
    instance.once('connect', () => {
      instance.removeAllListeners('error').on('error', () => {});
      caller.pipe(instance).pipe(caller);
      caller.once('close', () => instance.destroy());
      instance.once('close', () => caller.destroy());
    });
  };
  // A proxy that holds back small writes would add 40 ms to every answer.
  const server = createServer({ noDelay: true }, (caller) => {
    keep(caller);
    enter(caller, 4);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
