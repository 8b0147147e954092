import { type Field, textOf } from './field.ts';
import knownVariables from './known-variables.json' with { type: 'json' };

const known: readonly string[] = knownVariables;

/** A service's declarations: the key names the value in code, the field's `env` in the environment. */
export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What the declarations are read into. */
export type Config<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** Everything that is wrong with the configuration, at once. The exit code for it is 78 (EX_CONFIG of sysexits.h). */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One sentence or two per wrong variable, for a person. Never a secret's value. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The configuration is wrong:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads every field from the environment. An empty variable counts as absent, since compose files and charts
 * pass empty strings for what nobody set.
 *
 * @throws ConfigError naming every wrong variable, its value (not a secret's), the rule and an example
 */
export function readConfig<F extends Fields>(fields: F, env: NodeJS.ProcessEnv = process.env): Config<F> {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    try {
      config[key] = readField(field, env);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config) as Config<F>;
}

function readField(field: Field<unknown>, env: NodeJS.ProcessEnv): unknown {
  const given = textOf(field, env);
  if (given === undefined) {
    if (field.fallback !== undefined) return field.parse(field.fallback);
    if (field.optional) return undefined;
    throw new Error(
      `${field.env} is not set. ${field.doc} Give ${field.rule}, for example ${example(field)}.`,
    );
  }
  try {
    return field.parse(given.text, given.file);
  } catch (error) {
    const shown = field.secret || given.variable !== field.env ? '' : `=${JSON.stringify(clip(given.text))}`;
    const more = (error as Error).message;
    throw new Error(
      `${given.variable}${shown} must be ${field.rule}${more === '' ? '' : ` (${more})`}, for example ${example(field)}.`,
    );
  }
}

const example = (field: Field<unknown>): string =>
  field.example.startsWith('PUSHFLEET_') ? field.example : `${field.env}=${field.example}`;

/** A value as it may be shown: short, and a URL without its user and password. */
function clip(text: string): string {
  const open = text.replace(/\/\/[^@/]*@/g, '//…@');
  return open.length > 120 ? `${open.slice(0, 120)}…` : open;
}

// Kubernetes gives every pod these for each Service of its namespace: a Service "pushfleet-edge-sse" makes
// PUSHFLEET_EDGE_SSE_PORT=tcp://10.0.0.1:8081, …_SERVICE_HOST, …_SERVICE_PORT_HTTP, …_PORT_8081_TCP_ADDR.
const injected =
  /_PORT$|_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/;

/**
 * The `PUSHFLEET_*` names that no service of the fleet reads: most often a typing error. Each comes as a
 * sentence for the log, with the nearest known name where one is near.
 */
export function unknownVariables(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const names = Object.keys(env).filter((name) => name.startsWith('PUSHFLEET_') && !injected.test(name));
  return names
    .filter((name) => !known.includes(name))
    .map((name) => {
      const near = nearest(name);
      return `${name} is set, but nothing in the fleet reads it.${near === undefined ? '' : ` Did you mean ${near}?`}`;
    });
}

function nearest(name: string): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0] !== undefined && ranked[0].distance <= 3 ? ranked[0].candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, change));
    }
    row = next;
  }
  return row[b.length] as number;
}
