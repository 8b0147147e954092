import { parseNamespace, parseTopicFilter } from '@pushfleet/core';
import { readConfig, tokenFields } from '@pushfleet/runtime';
import type { Command } from 'commander';
import { mint } from '../mint.ts';
import { type CommonOptions, command, parseSeconds, repeated } from './options.ts';

interface TokenOptions extends CommonOptions {
  readonly sub: string;
  readonly ns?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly manage?: readonly string[];
  readonly presence?: readonly string[];
  readonly ttl: number;
  readonly id?: string;
}

const examples = `
It is signed with the secret that the services check tokens by, so it works where that secret is: in development,
and in a fleet that is its own issuer. Tokens of another issuer are made by that issuer; see docs/security.md.

Examples:
  npx pushfleet token --subscribe 'orders/#' --ttl 15m
  npx pushfleet token --sub robot --publish 'metrics/+' --publish 'alarms/#'
  npx pushfleet token --sub ann --subscribe 'rooms/#' --presence 'rooms/#' --state <folder of "npm start -- --state">`;

export function tokenCommand(): Command {
  return command('token', 'Make a token with the local secret or PUSHFLEET_TOKEN_SECRET.')
    .option('--sub <subject>', 'who the token is for', 'pushfleet-cli')
    .option('--ns <namespace>', 'the namespace (absent: default)')
    .option('--publish <filter>', 'topics it may publish to; repeatable', repeated)
    .option('--subscribe <filter>', 'topics it may follow; repeatable', repeated)
    .option('--manage <filter>', 'topics it may manage; repeatable', repeated)
    .option(
      '--presence <filter>',
      'topics it may be present on, and whose presence it may see; repeatable',
      repeated,
    )
    .option('--ttl <time>', 'how long it is good: 90s, 15m, 1h, 7d', parseSeconds, 3_600)
    .option(
      '--id <jti>',
      'the claim jti, by which it can be revoked (absent: one is made up; --json shows it)',
    )
    .addHelpText('after', examples)
    .action(printToken);
}

async function printToken(o: TokenOptions, self: Command): Promise<void> {
  const { publish, subscribe, manage, presence, sub, ns } = o;
  const filters = [publish, subscribe, manage, presence].flatMap((list) => list ?? []);
  if (filters.length === 0) {
    self.error(
      'A token without grants is good for nothing: give --publish, --subscribe, --manage or --presence.',
    );
  }
  // {sub} stands for the subject; the fleet fills it in where it checks the token.
  for (const filter of filters) parseTopicFilter(filter.replaceAll('{sub}', sub));
  if (ns !== undefined) parseNamespace(ns);
  const { tokenLifetimeMs } = readConfig({ tokenLifetimeMs: tokenFields.tokenLifetimeMs }, process.env);
  if (o.ttl * 1_000 > tokenLifetimeMs) {
    self.error(
      `No service would accept it: tokens live ${tokenLifetimeMs / 1_000} s at most (PUSHFLEET_TOKEN_MAX_LIFETIME).`,
    );
  }
  const minted = await mint(o.state, { sub, ns, publish, subscribe, manage, presence }, o.ttl, o.id);
  console.log(o.json ? JSON.stringify({ ...minted, sub, ns: ns ?? 'default' }) : minted.token);
}
