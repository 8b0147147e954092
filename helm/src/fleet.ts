import { globSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Field } from '../../packages/runtime/src/field.ts';

export const root = resolve(import.meta.dirname, '../..');
export const chart = join(root, 'helm/pushfleet');

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What the chart has to know of a service; read from the declarations of its configuration. */
export interface ServiceFacts {
  /** By the names that ports have in Kubernetes. */
  readonly listeners: Readonly<Record<string, { readonly variable: string; readonly port: number }>>;
  /** The variables that it reads, those that only name files included. */
  readonly variables: readonly string[];
  /** The variables whose values may come from files, with the variables that name these. */
  readonly files: Readonly<Record<string, string>>;
}

/** The fields of every service, by the names of their folders. */
export async function readServices(): Promise<ReadonlyMap<string, Fields>> {
  const services = new Map<string, Fields>();
  for (const path of globSync('services/*/src/config.ts', { cwd: root }).sort()) {
    const { fields } = (await import(join(root, path))) as { readonly fields: Fields };
    services.set(basename(dirname(dirname(path))), fields);
  }
  return services;
}

/** What `pushfleet migrate` reads. */
export async function readMigrate(): Promise<Fields> {
  const { streamFields } = (await import(join(root, 'packages/cli/src/config.ts'))) as {
    readonly streamFields: Fields;
  };
  return streamFields;
}

// A service's main listener speaks HTTP, except for this one's.
const mainListeners: Readonly<Record<string, string>> = { 'edge-mqtt': 'mqtt' };
const otherListeners: Readonly<Record<string, string>> = {
  OPS: 'ops',
  GRPC: 'grpc',
  TLS: 'mqtts',
  WEBSOCKET: 'http',
};

function listenerName(service: string, variable: string): string {
  const [, kind] = /_(OPS|GRPC|TLS|WEBSOCKET)_LISTEN$/.exec(variable) ?? [];
  return kind === undefined ? (mainListeners[service] ?? 'http') : (otherListeners[kind] as string);
}

export function factsOf(service: string, fields: Fields): ServiceFacts {
  const all = Object.values(fields);
  const listening = all.filter(({ env }) => env.endsWith('_LISTEN'));
  return {
    listeners: Object.fromEntries(
      listening.map(({ env, fallback = '' }) => [
        listenerName(service, env),
        { variable: env, port: Number(fallback.split(':').at(-1)) },
      ]),
    ),
    variables: all.map(({ env }) => env).sort(),
    files: Object.fromEntries(
      all.flatMap(({ env, file }) => {
        if (env.endsWith('_FILE')) return [[env, env]];
        return file ? [[env, `${env}_FILE`]] : [];
      }),
    ),
  };
}
