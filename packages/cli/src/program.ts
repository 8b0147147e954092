import { ConfigError, version } from '@pushfleet/runtime';
import { Command, CommanderError } from 'commander';
import { deleteCommand } from './commands/delete.ts';
import { explainCommand } from './commands/explain.ts';
import { historyCommand } from './commands/history.ts';
import { migrateCommand } from './commands/migrate.ts';
import { publishCommand } from './commands/publish.ts';
import { revocationsCommand, revokeCommand } from './commands/revoke.ts';
import { secretsCommand } from './commands/secrets.ts';
import { statusCommand } from './commands/status.ts';
import { tailCommand } from './commands/tail.ts';
import { tokenCommand } from './commands/token.ts';
import { verifierCommand } from './commands/verifier.ts';
import { webhooksCommand } from './commands/webhooks.ts';
import { exitCode, exitCodeOf } from './exit-code.ts';

/** Where help and errors go; what a command finds out goes to the standard output. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

const exitCodes = `
Exit codes: 0 done, 1 refused or failed, 2 wrong arguments or configuration, 3 the fleet is out of reach,
4 the token is missing, not valid, or does not grant this.`;

/** Runs what the arguments say, and gives the exit code. Never rejects. */
export async function runProgram(args: readonly string[], { out, err }: Output): Promise<number> {
  const program = makeProgram();
  for (const each of [program, ...program.commands.flatMap((command) => [command, ...command.commands])]) {
    each.exitOverride().configureOutput({ writeOut: out, writeErr: err });
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? exitCode.done);
  } catch (error) {
    // Commander has told already, and ends with 0 only for --help and --version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    err(`${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof ConfigError ? exitCode.usage : exitCodeOf(error);
  }
}

function makeProgram(): Command {
  const program = new Command('pushfleet')
    .description('Publish, listen and look after a Pushfleet.')
    .version(version, '-V, --version', 'print the release')
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
    secretsCommand,
  ]) {
    program.addCommand(make());
  }
  return program;
}
