import type { Command } from 'commander';
import { askAs, type FrontOptions, frontCommand } from './front-command.ts';
import { parseSeconds } from './options.ts';

interface RevokeOptions extends FrontOptions {
  readonly sub?: string;
  readonly tokenId?: string;
  readonly connection?: string;
  readonly issuedBefore?: string;
  readonly for?: number;
  readonly lift?: string;
}

/** A revocation as the registry shows it. */
interface Revocation {
  readonly id: string;
  readonly subject?: string;
  readonly tokenId?: string;
  readonly tokenDigest?: string;
  readonly issuedBefore?: string;
  readonly until: string;
}

const examples = `
Several of --sub, --token-id and --connection mean the tokens that all of them name.
Streams of what is revoked are ended and its tokens refused, until they have all expired.

Examples:
  npx pushfleet revoke --sub alice
  npx pushfleet revoke --connection 4Zr1nT0c5Xq8bS2k.9QhPzA1w
  npx pushfleet revoke --lift bPGXFuHhnlQmtbQJpZkrrIO-Rdl0a9_YPFAKVVCjA10`;

export function revokeCommand(): Command {
  return frontCommand('revoke', 'Revoke tokens, or lift what was revoked.')
    .option('--sub <subject>', 'the tokens of a subject')
    .option('--token-id <jti>', 'one token, by its claim jti')
    .option(
      '--connection <id>',
      "the token of a connection, by the connection's id: header or metadata Pushfleet-Connection",
    )
    .option('--issued-before <time>', 'only what was issued before, such as 2030-01-31T12:00:00Z')
    .option('--for <time>', 'how long: 90s, 15m, 1h, 7d (absent: as long as any token lives)', parseSeconds)
    .option('--lift <id>', 'let a revocation go')
    .addHelpText('after', examples)
    .action(revoke);
}

async function revoke(o: RevokeOptions, self: Command): Promise<void> {
  const { sub: subject, tokenId, connection, issuedBefore, lift } = o;
  const targets = [subject, tokenId, connection].filter((given) => given !== undefined);
  if (targets.length === 0 && lift === undefined)
    self.error('Say what to revoke: --sub, --token-id or --connection; or what to lift: --lift.');
  if (lift !== undefined) {
    if (targets.length > 0) self.error('Either something is revoked, or --lift lifts a revocation.');
    await ask(o, 'DELETE', `/${encodeURIComponent(lift)}`);
    console.log(o.json ? JSON.stringify({ lifted: lift }) : `lifted: ${lift}`);
    return;
  }
  const until = o.for === undefined ? undefined : new Date(Date.now() + o.for * 1_000).toISOString();
  const body = { subject, tokenId, connection, issuedBefore, until };
  const made = (await ask(o, 'POST', '', body)) as Revocation;
  console.log(o.json ? JSON.stringify(made) : `revoked: ${line(made)}`);
}

export function revocationsCommand(): Command {
  return frontCommand('revocations', 'List what is revoked, with the id that lifts it.').action(list);
}

async function list(o: FrontOptions): Promise<void> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query: string = after === '' ? '' : `&after=${after}`;
    const page = (await ask(o, 'GET', `?limit=1000${query}`)) as { revocations: Revocation[]; next?: string };
    for (const revocation of page.revocations) {
      console.log(o.json ? JSON.stringify(revocation) : line(revocation));
    }
    after = page.next;
  }
}

function line({ id, subject, tokenId, tokenDigest, issuedBefore, until }: Revocation): string {
  const what = [
    ...(subject === undefined ? [] : [`subject ${subject}`]),
    ...(tokenId === undefined ? [] : [`token ${tokenId}`]),
    ...(tokenDigest === undefined ? [] : [`the token of the connections ${tokenDigest}.*`]),
    ...(issuedBefore === undefined ? [] : [`issued before ${issuedBefore}`]),
  ];
  return `${id}  until ${until}  ${what.join(' and ')}`;
}

function ask(
  o: FrontOptions,
  method: 'GET' | 'POST' | 'DELETE',
  below: string,
  body?: object,
): Promise<unknown> {
  const question = { method, path: `/v1/revocations${below}`, ...(body && { body }) };
  return askAs(o, { manage: ['#'] }, question);
}
