// A child process full of SSE clients: raw sockets that count events and do as little else as possible.
import { connect } from 'node:net';
import { marker, now, stampAt } from './payload.ts';
import type { Command, Reply } from './protocol.ts';
import { eventData } from './transcript.ts';

const handshakesAtOnce = 100;
const sampleEvery = 50;
const progressMs = 2;

type Open = Extract<Command, { kind: 'open' }>;

// One receive buffer for all sockets: a chunk is counted before the next one is read.
const buffer = Buffer.allocUnsafe(64 * 1024);
let counts = new Uint32Array(0);
let transcripts: string[] | undefined;
let latencies: number[] = [];
let reads = 0;
let reported = 0;

function reply(message: Reply): void {
  process.send?.(message);
}

function count(client: number, chunk: Buffer): void {
  reads++;
  const sampled = client % sampleEvery === 0;
  let found = 0;
  for (let at = chunk.indexOf(marker); at >= 0; at = chunk.indexOf(marker, at + 1)) {
    found++;
    const stamp = sampled ? stampAt(chunk, at) : undefined;
    if (stamp !== undefined) latencies.push(now() - stamp);
  }
  counts[client] = (counts[client] ?? 0) + found;
}

/** Resolves once the response has begun with a 200. */
function openClient(order: Open, client: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let head: string | undefined = '';
    const socket = connect({
      host: order.host,
      port: order.port,
      localAddress: order.sources[client % order.sources.length] as string,
      onread: {
        buffer,
        callback: (bytes) => {
          if (transcripts !== undefined) transcripts[client] += buffer.toString('latin1', 0, bytes);
          if (head !== undefined) {
            head += buffer.toString('latin1', 0, bytes);
            if (!head.includes('\r\n\r\n')) return true;
            if (!head.startsWith('HTTP/1.1 200 '))
              reject(new Error(`client ${client} was answered: ${head}`));
            head = undefined;
            resolve();
            return true;
          }
          count(client, buffer.subarray(0, bytes));
          return true;
        },
      },
    });
    const lost = (reason: string) => {
      reject(new Error(reason));
      reply({ kind: 'failed', reason });
    };
    socket.on('error', (error) => lost(`client ${client}: ${error.message}`));
    socket.on('close', () => lost(`client ${client} was closed by the server`));
    socket.write(order.requests[client] as string);
  });
}

async function open(order: Open): Promise<void> {
  counts = new Uint32Array(order.requests.length);
  if (order.keep) transcripts = order.requests.map(() => '');
  let next = 0;
  const lane = async () => {
    while (next < order.requests.length) await openClient(order, next++);
  };
  await Promise.all(Array.from({ length: handshakesAtOnce }, lane));
  setInterval(reportProgress, progressMs);
  reply({ kind: 'opened' });
}

function smallest(): number {
  return counts.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
}

function reportProgress(): void {
  const min = smallest();
  if (min === reported) return;
  reported = min;
  reply({ kind: 'progress', min });
}

function mark(): void {
  counts.fill(0);
  latencies = [];
  reads = 0;
  reported = 0;
  reply({ kind: 'marked' });
}

function answerCount(): void {
  const max = counts.reduce((most, value) => Math.max(most, value), 0);
  const total = counts.reduce((sum, value) => sum + value, 0);
  reply({ kind: 'counted', min: smallest(), max, total, latencies, reads });
}

process.on('message', (command: Command) => {
  if (command.kind === 'open') {
    open(command).catch((error: Error) => reply({ kind: 'failed', reason: error.message }));
  } else if (command.kind === 'mark') mark();
  else if (command.kind === 'count') answerCount();
  else reply({ kind: 'transcripts', payloads: (transcripts ?? []).map(eventData) });
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
