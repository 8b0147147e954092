// A child process full of clients: raw sockets that count events and do as little else as possible.
import type { Socket } from 'node:net';
import { openClient } from './client.ts';
import { answerToPing } from './heartbeat.ts';
import { marker, now, stampAt } from './payload.ts';
import type { Command, Entrance, Reply } from './protocol.ts';
import { lastEventId, payloadsOf } from './transcript.ts';

// What pushpin's proxy lets wait for its origin; with more it answers 502.
const handshakesAtOnce = 20;
// As many as a server's backlog of connections takes; a lost SYN would cost its client a second.
const returningAtOnce = 250;
const rememberedBytes = 512;
const progressMs = 2;

type Open = Extract<Command, { kind: 'open' }>;

// One receive buffer for all sockets: a chunk is counted before the next one is read.
const buffer = Buffer.allocUnsafe(64 * 1024);
let counts = new Uint32Array(0);
let transcripts: string[] | undefined;
let latencies: number[] = [];
let reads = 0;
let reported = 0;
let order: Open;
const sockets: Socket[] = [];
const stalled = new Set<number>();
/** The end of what each client got, where its last event's id stands. */
let tails: string[] | undefined;
/** How many events each client that came again has to get, and how many clients wait for some. */
let missed: readonly number[] | undefined;
let behind = 0;

function reply(message: Reply): void {
  process.send?.(message);
}

function count(client: number, chunk: Buffer): void {
  reads++;
  const sampled = client % order.sampleEvery === 0;
  let found = 0;
  for (let at = chunk.indexOf(marker); at >= 0; at = chunk.indexOf(marker, at + 1)) {
    found++;
    const stamp = sampled ? stampAt(chunk, at) : undefined;
    if (stamp !== undefined) latencies.push(now() - stamp);
  }
  const before = counts[client] ?? 0;
  counts[client] = before + found;
  const due = missed?.[client];
  if (due === undefined || before >= due || before + found < due) return;
  if (--behind === 0) reply({ kind: 'caughtUp', at: now() });
}

async function openOne(client: number, { request, turns }: Entrance, port: number): Promise<void> {
  const source = order.sources[client % order.sources.length] as string;
  const lost = (reason: string) => {
    if (sockets[client] === socket && !stalled.has(client))
      reply({ kind: 'failed', reason: `client ${client} ${reason}` });
  };
  const { socket, opened } = openClient(
    { host: order.host, port, source, request, turns, buffer },
    (chunk) => take(client, chunk),
    lost,
  );
  sockets[client] = socket;
  await opened;
}

function take(client: number, chunk: Buffer): void {
  if (transcripts !== undefined) transcripts[client] += chunk.toString('latin1');
  if (tails !== undefined) remember(tails, client, chunk);
  count(client, chunk);
  const answer = answerToPing(chunk);
  if (answer !== undefined) sockets[client]?.write(answer);
}

function remember(ends: string[], client: number, chunk: Buffer): void {
  ends[client] = (ends[client] + chunk.toString('latin1')).slice(-rememberedBytes);
}

async function open(): Promise<void> {
  counts = new Uint32Array(order.entrances.length);
  if (order.keep) transcripts = order.entrances.map(() => '');
  if (order.resume) tails = order.entrances.map(() => '');
  await openAll(order.entrances, order.port, handshakesAtOnce);
  setInterval(reportProgress, progressMs);
  reply({ kind: 'opened' });
}

async function openAll(entrances: readonly Entrance[], port: number, atOnce: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < entrances.length) {
      const client = next++;
      await openOne(client, entrances[client] as Entrance, port);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

function cut(clients: readonly number[]): void {
  for (const client of clients) {
    const socket = sockets[client];
    delete sockets[client];
    socket?.destroy();
  }
  reply({ kind: 'cut' });
}

/** Their sockets stay open and fill up. */
function stall(clients: readonly number[]): void {
  for (const client of clients) {
    stalled.add(client);
    sockets[client]?.pause();
  }
  reply({ kind: 'stalled' });
}

async function comeAgain(port: number, due: readonly number[]): Promise<void> {
  const entrances = order.entrances.map(({ request, turns }, client) => {
    const id = lastEventId(tails?.[client] ?? '');
    if (id === undefined) throw new Error(`client ${client} has had no event to resume from`);
    return { request: request.replace('\r\n\r\n', `\r\nLast-Event-ID: ${id}\r\n\r\n`), turns };
  });
  tails = undefined;
  counts.fill(0);
  missed = due;
  behind = due.length;
  await openAll(entrances, port, returningAtOnce);
}

/** What those have counted who read. */
const counted = (): Uint32Array =>
  stalled.size === 0 ? counts : counts.filter((_, client) => !stalled.has(client));

function smallest(): number {
  return counted().reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
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
  const max = counted().reduce((most, value) => Math.max(most, value), 0);
  const total = counted().reduce((sum, value) => sum + value, 0);
  reply({ kind: 'counted', min: smallest(), max, total, latencies, reads });
}

function failed(error: Error): void {
  reply({ kind: 'failed', reason: error.message });
}

process.on('message', (command: Command) => {
  if (command.kind === 'open') {
    order = command;
    open().catch(failed);
  } else if (command.kind === 'return') comeAgain(command.port, command.missed).catch(failed);
  else if (command.kind === 'cut') cut(command.clients);
  else if (command.kind === 'stall') stall(command.clients);
  else if (command.kind === 'mark') mark();
  else if (command.kind === 'count') answerCount();
  else reply({ kind: 'transcripts', payloads: (transcripts ?? []).map(payloadsOf) });
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
