// A child process that receives webhooks: raw sockets that know of HTTP only where a request begins and which
// endpoint it names, so that nearly all of the machine is left to who sends.
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { marker, now, stampAt } from '../load/payload.ts';
import type { Command, Reply } from './protocol.ts';

const progressMs = 2;
const begin = Buffer.from('POST /');
const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
const space = 0x20;

const counts = new Map<number, number>();
let latencies: number[] = [];
let hanging: ReadonlySet<number> = new Set();
let total = 0;
let reported = 0;

const reply = (message: Reply): void => void process.send?.(message);

/** The number that the request's path is. */
function endpointOf(request: Buffer): number {
  return Number(request.toString('latin1', begin.length, request.indexOf(space, begin.length)));
}

function serve(socket: Socket): void {
  let endpoint: number | undefined;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    if (chunk.compare(begin, 0, begin.length, 0, begin.length) === 0) endpoint = endpointOf(chunk);
    const at = chunk.indexOf(marker);
    if (at < 0 || endpoint === undefined || hanging.has(endpoint)) return;
    const stamp = stampAt(chunk, at);
    if (stamp !== undefined) latencies.push(now() - stamp);
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
    total++;
    endpoint = undefined;
    socket.write(answer);
  });
}

function open(): void {
  const server = createServer({ noDelay: true }, serve);
  // On every address of loopback, since to a sender each endpoint is a host of its own.
  server.listen(0, '0.0.0.0', 4096, () =>
    reply({ kind: 'opened', port: (server.address() as AddressInfo).port }),
  );
  setInterval(() => {
    if (total !== reported) reply({ kind: 'progress', total });
    reported = total;
  }, progressMs);
}

process.on('message', (command: Command) => {
  if (command.kind === 'open') open();
  else if (command.kind === 'count') reply({ kind: 'counted', counts: [...counts.values()], latencies });
  else if (command.kind === 'hang') {
    hanging = new Set(command.endpoints);
    reply({ kind: 'hung' });
  } else {
    counts.clear();
    latencies = [];
    total = reported = 0;
    reply({ kind: 'marked' });
  }
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
