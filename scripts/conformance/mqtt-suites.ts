import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../servers.ts';
import { bring, workshop } from './languages.ts';

// Suites that others wrote for brokers. They are fetched for the run and are no part of this repository.

interface Suite {
  readonly name: string;
  readonly repository: string;
  /** What the lists of known failures were written for. */
  readonly commit: string;
  /** The folder of it that is used. */
  readonly folder: string;
}

const suites = {
  mosquitto: {
    name: 'mosquitto',
    repository: process.env.MOSQUITTO_REPOSITORY || 'https://github.com/eclipse-mosquitto/mosquitto',
    commit: '7b8aba105b77253309de24664bbae69d0cae3da0',
    folder: 'test/broker/data',
  },
  paho: {
    name: 'paho.mqtt.testing',
    repository: process.env.PAHO_TESTING_REPOSITORY || 'https://github.com/eclipse-paho/paho.mqtt.testing',
    commit: '9d7bb80bb8b9d9cfc0b52f8cb4c1916401281103',
    folder: 'interoperability',
  },
} as const satisfies Record<string, Suite>;

/** Mosquitto's byte sequences: a folder of JSON. @throws Missing where they cannot be had */
export const bringSequences = (): string => bringSuite(suites.mosquitto, 'MOSQUITTO_REPOSITORY');

export interface Paho {
  readonly python: string;
  readonly folder: string;
}

/** paho's interoperability tests: programs of Python 3. @throws Missing where they cannot be had */
export function bringPaho(): Paho {
  bring('no Python 3', root, 'python3', '--version');
  return { python: 'python3', folder: bringSuite(suites.paho, 'PAHO_TESTING_REPOSITORY') };
}

function bringSuite({ name, repository, commit, folder }: Suite, variable: string): string {
  const checkout = join(workshop, `${name}-${commit.slice(0, 12)}`);
  const wanted = join(checkout, folder);
  if (existsSync(wanted)) return wanted;
  rmSync(checkout, { recursive: true, force: true });
  mkdirSync(checkout, { recursive: true });
  const git = (...args: string[]): string =>
    bring(
      `${repository} cannot be fetched; ${variable} may name another, or a folder with a clone`,
      checkout,
      'git',
      ...args,
    );
  try {
    git('init', '--quiet');
    git('fetch', '--quiet', '--depth', '1', repository, commit);
    git('checkout', '--quiet', commit, '--', folder);
  } catch (error) {
    rmSync(checkout, { recursive: true, force: true });
    throw error;
  }
  return wanted;
}
