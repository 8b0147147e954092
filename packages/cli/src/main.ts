import { ConfigError } from '@pushfleet/runtime';
import { Command, CommanderError } from 'commander';
import { deleteCommand } from './commands/delete.ts';
import { explainCommand } from './commands/explain.ts';
import { historyCommand } from './commands/history.ts';
import { migrateCommand } from './commands/migrate.ts';
import { publishCommand } from './commands/publish.ts';
import { revocationsCommand, revokeCommand } from './commands/revoke.ts';
import { statusCommand } from './commands/status.ts';
import { tailCommand } from './commands/tail.ts';
import { tokenCommand } from './commands/token.ts';
import { verifierCommand } from './commands/verifier.ts';
import { webhooksCommand } from './commands/webhooks.ts';
import { exitCode, exitCodeOf } from './exit-code.ts';

const exitCodes = `
Exit codes: 0 done, 1 refused or failed, 2 wrong arguments or configuration, 3 the fleet is out of reach,
4 the token is missing, not valid, or does not grant this.`;

const pushfleet = new Command('pushfleet')
  .description('Publish, listen and look after a Pushfleet.')
  .addHelpText('after', exitCodes)
  .showHelpAfterError('(--help shows what there is)');
for (const make of [
  publishCommand,
  tailCommand,
  historyCommand,
  explainCommand,
  deleteCommand,
  tokenCommand,
  verifierCommand,
  revokeCommand,
  revocationsCommand,
  webhooksCommand,
  statusCommand,
  migrateCommand,
]) {
  pushfleet.addCommand(make());
}
for (const each of [pushfleet, ...pushfleet.commands.flatMap((command) => [command, ...command.commands])]) {
  each.exitOverride();
}

// A reader that had enough, such as `head`, is no failure.
process.stdout.on('error', () => process.exit(exitCode.done));
try {
  await pushfleet.parseAsync();
} catch (error) {
  process.exitCode = tell(error);
}

function tell(error: unknown): number {
  // Commander has told already, and ends with 0 only for --help and --version.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
  console.error(error instanceof Error ? error.message : String(error));
  return error instanceof ConfigError ? exitCode.usage : exitCodeOf(error);
}
