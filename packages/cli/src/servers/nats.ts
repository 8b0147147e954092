import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { findMirror, unpackPackages } from './debian.ts';
import { unpackImage } from './docker.ts';
import { type FindOptions, findServer, type Source } from './find.ts';

/**
 * The path of a nats-server that is 2.12 or newer: PUSHFLEET_NATS_SERVER, the PATH, Debian's newest suite
 * unpacked under `.pushfleet/nats-server`, or Docker's image there.
 *
 * @throws Error that says what to install where none can be had
 */
export function findNatsServer(o: FindOptions): Promise<string> {
  const program = {
    name: 'nats-server',
    variable: 'PUSHFLEET_NATS_SERVER',
    oldest: [2, 12] as const,
    sources: [fromSid, fromImage],
    advice:
      'Install nats-server 2.12 or newer from https://github.com/nats-io/nats-server/releases (macOS: "brew install nats-server") and put it on the PATH, or set PUSHFLEET_NATS_SERVER to its path.',
  };
  return findServer(program, o);
}

// The releases' own packages are older than 2.12; sid's is one program that runs on any of them.
const fromSid: Source = async (target, progress) => {
  const mirror = findMirror();
  if (mirror?.id !== 'debian') return "the machine's packages do not come from Debian";
  await unpackPackages({ mirror, suite: 'sid', packages: ['nats-server'], target }, progress);
  copyFileSync(join(target, 'usr/sbin/nats-server'), join(target, 'nats-server'));
  return undefined;
};

const fromImage: Source = async (target, progress) => {
  const refusal = await unpackImage('nats:2.15-alpine', target, progress);
  if (refusal === undefined) {
    copyFileSync(join(target, 'root/usr/local/bin/nats-server'), join(target, 'nats-server'));
  }
  return refusal;
};
