import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { writeSecrets } from '../containers/secrets.ts';
import { type CommonOptions, command } from './options.ts';

interface SecretsOptions extends CommonOptions {
  readonly owner?: number;
}

const help = `
For docker-compose.yml, which runs it before anything else: a folder for each part, with the files that it needs and no others,
each of mode 0600. Running it again changes nothing. Take a file of <folder>/originals away, run it again and restart what
uses it, and the secret is another one.`;

export function secretsCommand(): Command {
  return command('secrets', 'Make the secrets of a fleet in containers, once.')
    .argument('<folder>', 'where they are kept')
    .option('--owner <uid>', 'the user and group that the parts run as', parseUser)
    .addHelpText('after', help)
    .action(makeSecrets);
}

function makeSecrets(folder: string, o: SecretsOptions): void {
  const report = writeSecrets(resolve(folder), o.owner);
  if (o.json) console.log(JSON.stringify(report));
  else if (report.written.length === 0) console.log('The secrets are as they should be.');
  else console.log(`made ${report.made.length} secrets, wrote ${report.written.length} files`);
}

function parseUser(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('A user is a number, such as 1000.');
  return Number(text);
}
