/** A subscription as the registry shows it. */
export interface Webhook {
  readonly id: string;
  readonly filter: string;
  readonly url: string;
  readonly format: string;
  readonly types?: readonly string[];
  readonly expression?: string;
  readonly ordered: boolean;
  readonly handshake: string;
  readonly owner: string;
  readonly state: string;
  readonly stateReason?: string;
  readonly stateSince: string;
  readonly failingSince?: string;
  readonly expiresAt?: string;
  readonly createdAt: string;
  readonly description?: string;
  readonly keys: readonly { readonly id: string; readonly signing: string; readonly expiresAt?: string }[];
  readonly backlog?: { readonly queued: number; readonly retrying: number; readonly dead: number };
  readonly secret?: string;
  readonly publicKey?: string;
}

interface PublicationRef {
  readonly id: string;
  readonly topic: string;
  readonly cursor: string;
}

export interface Attempt {
  readonly at: string;
  readonly why: string;
  readonly verdict: string;
  readonly attempt: number;
  readonly durationMs: number;
  readonly status?: number;
  readonly error?: string;
  readonly nextAt?: string;
  readonly publication?: PublicationRef;
}

export interface Letter {
  readonly letter: string;
  readonly at: string;
  readonly reason: string;
  readonly attempts: number;
  readonly publication: PublicationRef;
}

export const lineOf = ({ id, state, filter, url, failingSince }: Webhook): string =>
  `${id}  ${state}${failingSince === undefined ? '' : ` (failing since ${failingSince})`}  ${filter} → ${url}`;

/** What verifies deliveries, where the answer shows it. */
export const keyOf = ({ secret, publicKey }: Webhook): string =>
  secret === undefined && publicKey === undefined ? '' : `\nverify with (shown once): ${secret ?? publicKey}`;

export function show(webhook: Webhook): string {
  const { backlog } = webhook;
  const lines: readonly (readonly [name: string, value: unknown])[] = [
    ['state', `${webhook.state} since ${webhook.stateSince}`],
    ['because', webhook.stateReason],
    ['failing since', webhook.failingSince],
    [
      'backlog',
      backlog && `${backlog.queued} queued, ${backlog.retrying} to be tried again, ${backlog.dead} given up`,
    ],
    ['filter', webhook.filter],
    ['types', webhook.types?.join(', ')],
    ['expression', webhook.expression],
    ['url', webhook.url],
    ['format', `${webhook.format}${webhook.ordered ? ', in order' : ''}`],
    [
      'keys',
      webhook.keys
        .map(({ id, signing, expiresAt }) => `${id} (${signing}${expiresAt ? ` until ${expiresAt}` : ''})`)
        .join(', '),
    ],
    ['owner', webhook.owner],
    ['created', webhook.createdAt],
    ['ends', webhook.expiresAt],
    ['description', webhook.description],
  ];
  const told = lines.filter(([, value]) => value !== undefined && value !== '');
  return [webhook.id, ...told.map(([name, value]) => `  ${name}: ${String(value)}`)].join('\n');
}

export const lineOfAttempt = ({
  at,
  why,
  verdict,
  status,
  durationMs,
  attempt,
  error,
  nextAt,
  publication,
}: Attempt): string =>
  [
    at,
    verdict,
    ...(status === undefined ? [] : [`HTTP ${status}`]),
    `${Math.round(durationMs)} ms`,
    publication === undefined ? why : `${publication.topic} ${publication.id} #${attempt}`,
    ...(error === undefined ? [] : [error]),
    ...(nextAt === undefined ? [] : [`again at ${nextAt}`]),
  ].join('  ');

export const lineOfLetter = ({ letter, at, publication, attempts, reason }: Letter): string =>
  `${letter}  ${at}  ${publication.topic} ${publication.id}  after ${attempts} attempts: ${reason}`;

/** The entries of a list, a page after the other. `place` is the parameter that names where a page begins. */
export async function* pageOf<T>(
  name: string,
  place: 'after' | 'before',
  ask: (query: Readonly<Record<string, string>>) => Promise<unknown>,
): AsyncIterable<T> {
  for (let next: string | undefined, first = true; first || next !== undefined; first = false) {
    const page = (await ask(next === undefined ? {} : { [place]: next })) as {
      readonly next?: string;
    } & Readonly<Record<string, readonly T[]>>;
    yield* page[name] ?? [];
    next = page.next;
  }
}
