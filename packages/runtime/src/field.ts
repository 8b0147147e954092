import { readFileSync } from 'node:fs';

/** One variable, declared once: it is read, checked and documented from this declaration alone. */
export interface Field<T> {
  /** The variable's name: `PUSHFLEET_…`, never ending in `_PORT` (Kubernetes injects such names). */
  readonly env: string;
  /** What it does, in one or two sentences for an operator. */
  readonly doc: string;
  /** What a legal value looks like, bounds included: ends up in errors and in docs/configuration.md. */
  readonly rule: string;
  /** A legal value, for errors. */
  readonly example: string;
  /** The value in force where the variable is absent, as an operator would write it. */
  readonly fallback: string | undefined;
  /** Whether the variable may be absent without a fallback. */
  readonly optional: boolean;
  /** Whether `<env>_FILE` may name a file that holds the value. */
  readonly file: boolean;
  /** Whether the value must never be shown. */
  readonly secret: boolean;
  /**
   * @param file that the text was read from, where it was
   * @throws Error without a message where the text breaks the rule, with one where more can be said
   */
  parse(text: string, file?: string): T;
}

/** What every kind of field is declared with. No `fallback` and not `optional` makes it required. */
export interface FieldOptions {
  readonly env: string;
  readonly doc: string;
  readonly fallback?: string | number | boolean;
  readonly optional?: boolean;
  readonly example?: string;
  /** Accept `<env>_FILE` too. Always so for secrets. */
  readonly file?: boolean;
}

export interface BoundedOptions extends FieldOptions {
  readonly min?: number;
  readonly max?: number;
}

/** A host and port to listen on; port 0 lets the system choose one. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

type Optional<O> = O extends { readonly optional: true } ? undefined : never;

interface Kind<T> {
  readonly rule: string;
  readonly example: string;
  readonly secret?: boolean;
  parse(text: string, file?: string): T;
}

/** A text, and the file that it was read from, for who looks at it again. */
export interface Source {
  readonly text: string;
  readonly file: string | undefined;
}

function declare<T, const O extends FieldOptions>(options: O, kind: Kind<T>): Field<T | Optional<O>> {
  const secret = kind.secret ?? false;
  const fallback = options.fallback === undefined ? undefined : String(options.fallback);
  return Object.freeze({
    env: options.env,
    doc: options.doc,
    rule: kind.rule,
    example: options.example ?? fallback ?? kind.example,
    fallback,
    optional: options.optional ?? false,
    file: secret || (options.file ?? false),
    secret,
    parse: kind.parse,
  });
}

function check(holds: boolean): void {
  if (!holds) throw new Error();
}

function bounds(options: BoundedOptions, show: (value: number) => string = String): string {
  const { min, max } = options;
  if (min !== undefined && max !== undefined) return ` from ${show(min)} to ${show(max)}`;
  if (min !== undefined) return ` of at least ${show(min)}`;
  return max === undefined ? '' : ` of at most ${show(max)}`;
}

function bounded(value: number, options: BoundedOptions): number {
  check(
    value >= (options.min ?? Number.NEGATIVE_INFINITY) && value <= (options.max ?? Number.POSITIVE_INFINITY),
  );
  return value;
}

const seconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 };
const sizes: Readonly<Record<string, number>> = { B: 1, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 };

function quantity(text: string, units: Readonly<Record<string, number>>, plain: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  const factor = units[unit === '' ? plain : (unit ?? '')];
  check(factor !== undefined);
  return Number(amount) * (factor as number);
}

function parseAddress(text: string): Address {
  const [, six, host, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  check(port !== undefined && Number(port) <= 65_535);
  return Object.freeze({ host: (six ?? host) as string, port: Number(port) });
}

/** The kinds of fields. Each takes its declaration and gives a field of the type it is read into. */
export const field = {
  text: <const O extends FieldOptions>(options: O) =>
    declare(options, { rule: 'a text that is not empty', example: 'text', parse: (text) => text }),

  integer: <const O extends BoundedOptions>(options: O) =>
    declare(options, {
      rule: `a whole number${bounds(options)}`,
      example: String(options.min ?? 1),
      parse: (text) => {
        check(/^-?\d+$/.test(text) && Number.isSafeInteger(Number(text)));
        return bounded(Number(text), options);
      },
    }),

  /** Read in seconds or with a unit (`500ms`, `30s`, `5m`, `2h`, `7d`), bounds in seconds; handed over in milliseconds. */
  duration: <const O extends BoundedOptions>(options: O) =>
    declare(options, {
      rule: `seconds, or a time with its unit (ms, s, m, h, d)${bounds(options, (value) => `${value} s`)}`,
      example: '30s',
      parse: (text) => Math.round(bounded(quantity(text, seconds, 's'), options) * 1_000),
    }),

  /** Read in bytes or with a unit (`64KiB`, `16MiB`, `2GiB`), bounds in bytes; handed over in bytes. */
  bytes: <const O extends BoundedOptions>(options: O) =>
    declare(options, {
      rule: `bytes, or a size with its unit (KiB, MiB, GiB)${bounds(options)}`,
      example: '1MiB',
      parse: (text) => Math.floor(bounded(quantity(text, sizes, 'B'), options)),
    }),

  boolean: <const O extends FieldOptions>(options: O) =>
    declare(options, {
      rule: '"true" or "false"',
      example: 'true',
      parse: (text) => {
        check(text === 'true' || text === 'false');
        return text === 'true';
      },
    }),

  /** `host:port`, IPv6 in brackets; handed over as an `Address`. */
  address: <const O extends FieldOptions>(options: O) =>
    declare(options, {
      rule: 'host:port (port 0 lets the system choose)',
      example: '127.0.0.1:8080',
      parse: parseAddress,
    }),

  /** Comma-separated; white space around an entry and empty entries are dropped. */
  list: <const O extends FieldOptions>(options: O) =>
    declare(options, {
      rule: 'a comma-separated list',
      example: 'one,two',
      parse: (text): readonly string[] =>
        Object.freeze(text.split(',').flatMap((entry) => (entry.trim() === '' ? [] : [entry.trim()]))),
    }),

  /** An absolute URL of one of the given schemes; handed over as the text given. */
  url: <const O extends FieldOptions & { readonly schemes: readonly string[] }>(options: O) =>
    declare(options, {
      rule: `a URL that begins with ${options.schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
      example: `${options.schemes[0]}://host`,
      parse: (text) => {
        check(URL.canParse(text) && options.schemes.includes(new URL(text).protocol.slice(0, -1)));
        return text;
      },
    }),

  /** A text that is never shown; `<env>_FILE` may name a file that holds it. `min` is in bytes of UTF-8. */
  secret: <const O extends FieldOptions & { readonly min?: number }>(options: O) =>
    declare(options, {
      rule:
        options.min === undefined
          ? 'a secret that is not empty'
          : `a secret of at least ${options.min} bytes`,
      example: `${options.env}_FILE=/run/secrets/${options.env.replace('PUSHFLEET_', '').toLowerCase()}`,
      secret: true,
      parse: (text) => {
        check(Buffer.byteLength(text) >= (options.min ?? 1));
        return text;
      },
    }),

  /** Certificates or a key, which may change while the service runs where they are in a file. */
  pem: <const O extends FieldOptions & { readonly secret?: boolean }>(options: O) =>
    declare({ ...options, file: true, example: `${options.env}_FILE=/run/secrets/tls.pem` } as O, {
      rule: 'a text in PEM',
      example: '',
      secret: options.secret ?? false,
      parse: (text, file): Source => ({ text, file }),
    }),

  choice: <const C extends string, const O extends FieldOptions & { readonly choices: readonly C[] }>(
    options: O & { readonly choices: readonly C[] },
  ) =>
    declare(options, {
      rule: `one of ${options.choices.join(', ')}`,
      example: options.choices[0] ?? '',
      parse: (text) => {
        check((options.choices as readonly string[]).includes(text));
        return text as C;
      },
    }),

  /** A field with a grammar of its own. What `parse` throws is shown, so it must not hold a secret's value. */
  parsed: <
    T,
    const O extends FieldOptions & {
      readonly rule: string;
      readonly secret?: boolean;
      readonly example: string;
    },
  >(
    options: O,
    parse: (text: string) => T,
  ) =>
    declare(options, {
      rule: options.rule,
      example: options.example,
      secret: options.secret ?? false,
      parse,
    }),
};

/** The text of a field in this environment, where it comes from, or neither. @throws Error where its file cannot be read */
export function textOf(
  field: Field<unknown>,
  env: NodeJS.ProcessEnv,
): { readonly text: string; readonly variable: string; readonly file?: string } | undefined {
  const direct = env[field.env];
  const path = field.file ? env[`${field.env}_FILE`] : undefined;
  if (direct !== undefined && direct !== '' && path !== undefined && path !== '') {
    throw new Error(`${field.env} and ${field.env}_FILE are both set; set one of them.`);
  }
  if (direct !== undefined && direct !== '') return { text: direct, variable: field.env };
  if (path === undefined || path === '') return undefined;
  return { text: readSecretFile(`${field.env}_FILE`, path), variable: `${field.env}_FILE`, file: path };
}

function readSecretFile(variable: string, path: string): string {
  try {
    // Editors and `echo` end a file with a line break that is no part of the secret.
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw new Error(
      `${variable}=${JSON.stringify(path)} cannot be read (${code}). Name a file this service may read.`,
    );
  }
}
