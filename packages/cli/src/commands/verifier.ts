import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { verifierOf } from '../verifier.ts';
import { type CommonOptions, command, parseCount } from './options.ts';

interface VerifierOptions extends CommonOptions {
  readonly iterations: number;
}

const bounds = { least: 4_096, most: 1_000_000 };

const examples = `
The password is the first line of the standard input. What is printed goes into the file of PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE as the
"verifier" of a user; the password does not follow from it, but guesses can be tried on it: keep it as a secret.

Examples:
  head -c 24 /dev/urandom | base64 | tee password | npx pushfleet verifier
  npx pushfleet verifier --iterations 15000 <password`;

export function verifierCommand(): Command {
  return command('verifier', 'Make what a server keeps of a password (SCRAM-SHA-256).')
    .option(
      '--iterations <count>',
      `${bounds.least} to ${bounds.most}; clients compute them`,
      parse,
      bounds.least,
    )
    .addHelpText('after', examples)
    .action(printVerifier);
}

function parse(text: string): number {
  const count = parseCount(text);
  if (count >= bounds.least && count <= bounds.most) return count;
  throw new InvalidArgumentError(`Iterations are ${bounds.least} to ${bounds.most}.`);
}

async function printVerifier({ iterations, json }: VerifierOptions, self: Command): Promise<void> {
  const { stdin: input } = process;
  if (input.isTTY) self.error('A terminal would show the password: give it by a pipe or a file.');
  const lines = createInterface({ input });
  const { value: password } = await lines[Symbol.asyncIterator]().next();
  lines.close();
  // Others would have to be prepared (SASLprep) alike by every client.
  if (typeof password !== 'string' || !/^[\x20-\x7e]+$/.test(password)) {
    self.error('A password is one line of printable ASCII.');
  }
  const verifier = verifierOf(password, { iterations });
  console.log(json ? JSON.stringify({ verifier }) : verifier);
}
