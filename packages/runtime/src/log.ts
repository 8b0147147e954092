import type { Server } from 'node:net';
import { pino } from 'pino';

/** Structured log: `log.info({ topic }, 'message')`. One JSON object a line on standard output. */
export type Log = pino.Logger;

// A token or secret that slips into a logged object is cut out wherever requests and headers usually carry one.
const redacted = ['authorization', 'cookie', 'token', 'ticket', 'secret', 'password'].flatMap((name) => [
  name,
  `*.${name}`,
  `*.headers.${name}`,
]);

/** A log for a service; tests pass `level: 'silent'` or a destination of their own. */
export function createLog(o: { name: string; level?: string; destination?: pino.DestinationStream }): Log {
  const options: pino.LoggerOptions = {
    base: { service: o.name, pid: process.pid },
    level: o.level ?? 'info',
    redact: { paths: redacted, censor: '[redacted]' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  return o.destination === undefined ? pino(options) : pino(options, o.destination);
}

/**
 * Writes the line by which the launcher and tests learn where a listener is reached, whatever port it got:
 * `{"msg":"listening","listener":"http","address":"127.0.0.1:8081"}`. `name` tells a service's listeners apart.
 */
export function listening(log: Log, name: string, server: Server | { address: string }): void {
  log.info({ listener: name, address: textOfAddress(server) }, 'listening');
}

function textOfAddress(server: Server | { address: string }): string {
  if (typeof server.address === 'string') return server.address;
  const address = server.address();
  if (address === null || typeof address === 'string') return String(address);
  return address.family === 'IPv6'
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
