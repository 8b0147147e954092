import { migrate } from '@pushfleet/bus';
import { readConfig } from '@pushfleet/runtime';
import type { Command } from 'commander';
import { streamFields } from '../config.ts';
import { isRunning } from '../local/process-identity.ts';
import { readRecord } from '../local/state.ts';
import { type CommonOptions, command } from './options.ts';

interface MigrateOptions extends CommonOptions {
  readonly newGeneration: boolean;
}

const help = `
Running it again changes nothing. It reads PUSHFLEET_NATS_URL (absent: the local fleet's NATS), _NATS_CREDS and
PUSHFLEET_STREAM_SHARDS, _REPLICAS, _MAX_AGE, _MAX_BYTES, _DUPLICATE_WINDOW: see docs/configuration.md.`;

export function migrateCommand(): Command {
  return command('migrate', 'Make or change the streams of a fleet, which its services only verify.')
    .option('--new-generation', 'delete the log with all it holds and begin another', false)
    .addHelpText('after', help)
    .action(runMigrate);
}

async function runMigrate(o: MigrateOptions): Promise<void> {
  const local = localNats(o.state);
  const env = { ...(local !== undefined && { PUSHFLEET_NATS_URL: local }), ...process.env };
  const report = await migrateFrom(env, o.newGeneration);
  if (o.json) console.log(JSON.stringify(report));
  else {
    const lists = Object.entries({
      created: report.created,
      changed: report.updated,
      removed: report.removed,
    });
    const told = lists
      .filter(([, names]) => names.length > 0)
      .map(([verb, names]) => `${verb} ${names.join(', ')}`);
    console.log(told.length === 0 ? 'The streams are as they should be.' : `${told.join('\n')}`);
  }
}

/** Makes the streams as the environment describes them. */
export function migrateFrom(env: NodeJS.ProcessEnv, newGeneration = false): ReturnType<typeof migrate> {
  const { natsUrl: servers, natsCreds, ...streams } = readConfig(streamFields, env);
  return migrate({
    servers,
    ...(natsCreds !== undefined && { creds: natsCreds }),
    ...streams,
    newGeneration,
  });
}

function localNats(state: string): string | undefined {
  const nats = readRecord(state)?.processes.find(({ name }) => name === 'nats');
  const address = nats !== undefined && isRunning(nats) ? nats.addresses.nats : undefined;
  return address && `nats://${address}`;
}
