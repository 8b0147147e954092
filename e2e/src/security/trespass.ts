import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Site } from './site.ts';
import type { Heard, Way } from './way.ts';
import { ways } from './ways.ts';

// Who may come in, and asks for what is somebody else's.

const topic = 'vault/secret';
/** What nobody but the owner may read. */
const canary = 'the-combination-is-31-7-12';
/** What was published first, so that there is a cursor from which the canary lies ahead. */
const before = 'nothing-of-value';

const everything = { publish: ['#'], subscribe: ['#'], presence: ['#'], manage: true } as const;
const little = {
  publish: ['public/#'],
  subscribe: ['public/#'],
  presence: ['public/#'],
  manage: ['public/#'],
};

/** What lies in a namespace, and where it lies. */
export interface Vault {
  readonly owner: string;
  /** Of the publication before the canary, and its own. */
  readonly cursor: string;
  readonly canaryCursor: string;
}

export async function fillVault(site: Site): Promise<Vault> {
  const owner = await site.token({ ns: 'vault', sub: 'owner', ...everything });
  const cursor = await site.publish(owner, topic, before);
  const canaryCursor = await site.publish(owner, topic, canary, true);
  return { owner, cursor, canaryCursor };
}

export function trespass(site: () => Site, vault: () => Vault): void {
  describe('other namespaces', { concurrency: 6 }, () => {
    for (const way of ways.filter(({ right }) => right === 'subscribe')) {
      test(`${way.name} reads nothing of them`, () => readsItsOwnAlone(site(), vault(), way));
    }
    test('what is written does not reach them', () => writesToItsOwnAlone(site(), vault()));
  });
  describe('other topics of the namespace', { concurrency: 6 }, () => {
    for (const way of ways.filter(({ right }) => right !== 'nothing')) {
      test(`${way.name} is refused them`, () => isRefused(site(), vault(), way));
    }
  });
}

/** Whoever holds everything elsewhere gets what lies there, from the very cursor and topic of the vault. */
async function readsItsOwnAlone(site: Site, { cursor }: Vault, way: Way): Promise<void> {
  const ns = `elsewhere-${way.name.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`;
  const token = await site.token({ ns, sub: 'owner', ...everything });
  const own = `own-of-${ns}`;
  await site.publish(token, topic, own, true);
  const filters = way.exact ? [topic] : [topic, '#', 'vault/+'];
  for (const filter of filters) {
    const asks = [
      ...(way.resumes ? [{ after: cursor }] : []),
      ...(way.retains ? [{ retained: true }] : []),
      ...(way.resumes || way.retains ? [] : [{}]),
    ];
    for (const ask of asks) {
      const heard = await site.enter(way, { token, topic: filter, ...ask });
      if (way.resumes || way.retains) await hears(heard, own, `${filter} ${JSON.stringify(ask)}`);
      heard.close();
      requireNothing(heard);
    }
  }
}

async function hears(heard: Heard, text: string, what: string): Promise<void> {
  await until(() => heard.text().includes(text), `${text} on ${what}: ${heard.brief}`, 20_000).catch(
    (error) => {
      throw new Error(`${(error as Error).message} ${heard.text()}`);
    },
  );
}

function requireNothing(heard: Heard): void {
  const text = heard.text();
  for (const secret of [canary, before]) {
    assert.ok(!text.includes(secret), `what is the vault's was given: ${text}`);
    // As those who give bytes write it.
    assert.ok(
      !text.includes(Buffer.from(secret).toString('base64')),
      `what is the vault's was given: ${text}`,
    );
  }
}

async function writesToItsOwnAlone(site: Site, { owner, canaryCursor }: Vault): Promise<void> {
  const [follow] = ways;
  const heard = await (follow as Way).enter(site, { token: owner, topic: '#', after: canaryCursor });
  const token = await site.token({ ns: 'elsewhere', sub: 'owner', ...everything });
  for (const way of ways.filter(({ right }) => right === 'publish')) {
    const { close } = await site.enter(way, { token, topic, text: `trespass by ${way.name}` });
    close();
  }
  await site.publish(owner, 'vault/fence', 'the fence');
  await hears(heard, 'the fence', 'the vault');
  heard.close();
  assert.doesNotMatch(heard.text(), /trespass/);
}

const filters = [
  'vault/secret',
  '#',
  '+',
  '+/secret',
  'vault/#',
  'publics',
  '$presence/vault/secret',
  '$hooks/#',
  '$SYS/#',
];
const topics = ['vault/secret', 'publics/x', '$presence/public/x', '$pushfleet/gap', '$SYS/x', '$hooks/x'];

async function isRefused(site: Site, vault: Vault, way: Way): Promise<void> {
  const token = await site.token({ ns: 'vault', sub: 'guest', ...little });
  for (const asked of asksOf(way)) {
    const from = way.resumes ? { after: vault.cursor } : { retained: way.retains === true };
    const heard = await site.enter(way, { token, topic: asked, text: 'trespass', ...from });
    heard.close();
    const refusal = asked.startsWith('$')
      ? (way.reserved ?? way.refusal('forbidden'))
      : way.refusal('forbidden');
    assert.equal(heard.brief, refusal, `${asked}: ${heard.text()}`);
    requireNothing(heard);
  }
}

function asksOf(way: Way): readonly string[] {
  if (way.right === 'publish') return topics;
  if (way.right === 'manage' || way.exact) return ['vault/secret'];
  const shared = way.name.startsWith('MQTT') ? ['$share/thieves/vault/#', '$share/thieves/#'] : [];
  // A pattern of Bayeux has its wildcard at the end.
  const takes = (filter: string) => !way.name.startsWith('Bayeux') || !filter.startsWith('+/');
  return [...filters.filter(takes), ...shared];
}
