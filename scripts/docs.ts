// Writes docs/configuration.md, docs/errors.md and the list of known variables from the declarations in the code.
// With --check it writes nothing and fails where one of them is out of step.
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type CloseCode, comeBackCodes, type ErrorCode, meanings } from '../packages/core/src/mod.ts';
import { outboundFields } from '../packages/outbound/src/config.ts';
import type { Field } from '../packages/runtime/src/field.ts';
import { sharedFields as runtimeFields } from '../packages/runtime/src/shared-fields.ts';
import {
  connackReason,
  disconnectReason,
  publishReason,
  subscribeReason,
} from '../services/edge-mqtt/src/close-code.ts';
import { wsCode } from '../services/edge-websocket/src/close-code.ts';
import { advice } from './error-advice.ts';

type Fields = Readonly<Record<string, Field<unknown>>>;
interface Section {
  readonly title: string;
  readonly fields: Fields;
}

const root = dirname(import.meta.dirname);
const sharedFields: readonly Section[] = [
  ...runtimeFields,
  { title: 'Calls to receivers', fields: outboundFields },
];
const paths = globSync(['services/*/src/config.ts', 'packages/cli/src/config.ts'], { cwd: root }).sort();

async function readSection(path: string): Promise<Section> {
  const { title, fields } = (await import(join(root, path))) as Partial<Section>;
  if (title === undefined || fields === undefined)
    throw new Error(`${path} must export "title" and "fields".`);
  return { title, fields };
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function fallbackOf(field: Field<unknown>): string {
  if (field.fallback !== undefined) return field.fallback === '' ? '(empty)' : `\`${field.fallback}\``;
  return field.optional ? '–' : '**required**';
}

function table(fields: readonly Field<unknown>[]): string {
  const rows = fields.map((field) => {
    const name = field.file ? `\`${field.env}\`, \`…_FILE\`` : `\`${field.env}\``;
    return `| ${name} | ${cell(fallbackOf(field))} | ${cell(field.rule)} | ${cell(field.doc)} |`;
  });
  return ['| Variable | Default | Value | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** A shared field may stand in two groups; it is shown in the first. */
function shownOnce(
  sections: readonly Section[],
): readonly (readonly [title: string, fields: readonly Field<unknown>[]])[] {
  const shown = new Set<Field<unknown>>();
  return sections.map(({ title, fields }) => {
    const own = Object.values(fields).filter((field) => !shown.has(field));
    for (const field of own) shown.add(field);
    return [title, own] as const;
  });
}

function configurationPage(sections: readonly Section[]): string {
  const shared = shownOnce(sharedFields);
  const sharedSet = new Set(shared.flatMap(([, fields]) => fields));
  const parts = shared.map(([title, fields]) => `## ${title}\n\n${table(fields)}`);
  for (const section of sections) {
    const fields = Object.values(section.fields);
    const own = fields.filter((field) => !sharedSet.has(field));
    const groups = shared
      .filter(([, group]) => group.every((field) => fields.includes(field)))
      .map(([title]) => title);
    const reads = groups.length === 0 ? '' : `Reads also: ${groups.join(', ')}.\n\n`;
    parts.push(`## ${section.title}\n\n${reads}${own.length === 0 ? 'Nothing of its own.' : table(own)}`);
  }
  return `${configurationIntroduction}\n${parts.join('\n\n')}\n`;
}

const configurationIntroduction = `<!-- Written by scripts/docs.ts from the declarations in the code; change those. -->
# Configuration

Every service reads its configuration from environment variables once, when it starts. A wrong value stops it
with exit code 78 and a message that names every wrong variable, its value (never a secret's) and the rule. An
empty variable counts as absent. A \`PUSHFLEET_*\` name that nothing in the fleet reads is a warning in the log;
names ending in \`_PORT\` and the others that Kubernetes injects for Services are ignored.

Where a table says \`…_FILE\`, the variable with that ending may name a file that holds the value; set one of the
two. A line break at the end of the file is dropped. Durations without a unit are seconds, sizes without one bytes.
`;

function errorsPage(): string {
  const rows = Object.entries(meanings).map(
    ([code, { http, grpc, title, retry }]) =>
      `| \`${code}\` | ${http} | ${grpc} | ${retry ? 'yes' : 'no'} | ${title} | ${advice[code as ErrorCode]} |`,
  );
  return `<!-- Written by scripts/docs.ts from packages/core/src/status.ts; change that. -->
# Errors

HTTP answers are \`application/problem+json\` (RFC 9457): \`type\` is \`/problems/<code>\`, \`title\` the sentence
below, \`detail\` says what was wrong this time and what to do, \`code\` is for programs, and further members name
limits. gRPC answers carry the detail as the status message and the code in the trailer \`pushfleet-code\`; where
waiting helps, \`Retry-After\` and \`pushfleet-retry-after-ms\` say how long. MQTT 5 has the code in the user property
\`pushfleetcode\` beside a reason string, and [reason codes](#mqtts-reason-codes). "Retry" says whether the same request
can succeed later without a change.

| Code | HTTP | gRPC | Retry | Meaning | What to do |
|---|---|---|---|---|---|
${rows.join('\n')}

## How a stream ends
A stream that stood is not refused, it ends: server-sent events with an event \`pushfleet.close\`, a WebSocket with a
message \`closing\` and a close code, a gRPC stream with its status and \`pushfleet-code\`. Beside the codes above it may
end with

| Code | gRPC | Meaning | What to do |
|---|---|---|---|
| \`slow_consumer\` | RESOURCE_EXHAUSTED | The client took less than its filters bring, and its queue is full | Come back as told and resume from the last cursor; read faster, or follow less |
| \`connection_age\` | – | The connection is old, and load spreads anew | Come back as told and resume |

After ${comeBackCodes.map((code) => `\`${code}\``).join(', ')}
a client comes back by itself; after the others it would be refused again.
\`EventSource\` does as \`retry:\` says.

A WebSocket's close code (RFC 6455 section 7.4) says as much to a client that does not read \`closing\`:

| Close code | \`code\` | Come back |
|---|---|---|
${closeCodes()}

1000 is a client's own goodbye. 1005, 1006 and 1015 are never sent: a client makes them up where no close frame came, and
comes back after one of those.

## MQTT's reason codes
What stands for a code in each packet of MQTT 5; an empty cell, and what is not listed, is 0x80. Rules of the standard that a client breaks have the
standard's reasons, and the clause in the reason string.

| \`code\` | CONNACK | PUBACK, PUBREC | SUBACK | DISCONNECT |
|---|---|---|---|---|
${reasonCodes()}

"none": the connection ends (DISCONNECT) without an acknowledgement, and the client sends the publication again on the next one.
`;
}

/** The codes that say more in MQTT than that something failed. */
function reasonCodes(): string {
  const codes = [...Object.keys(meanings), 'slow_consumer', 'connection_age'] as (ErrorCode & CloseCode)[];
  const cell = (reason: number | undefined): string =>
    reason === undefined ? 'none' : reason === 0x80 ? '' : `0x${reason.toString(16).toUpperCase()}`;
  const rows = codes.map((code) => {
    const given = [connackReason(code), publishReason(code), subscribeReason(code), disconnectReason(code)];
    return [code, given.map(cell)] as const;
  });
  return rows
    .filter(([, cells]) => cells.some((text) => text !== ''))
    .map(([code, cells]) => `| \`${code}\` | ${cells.join(' | ')} |`)
    .join('\n');
}

/** The close codes of WebSocket connections, with the codes of errors behind each. */
function closeCodes(): string {
  const codes = [...Object.keys(meanings), 'slow_consumer', 'connection_age'] as CloseCode[];
  const said = new Map<number, string[]>();
  for (const code of codes) said.set(wsCode(code), [...(said.get(wsCode(code)) ?? []), `\`${code}\``]);
  const rows = Array.from(said, ([closeCode, names]): readonly [number, string, string] => [
    closeCode,
    closeCode === 1008 ? 'every other' : names.join(', '),
    comesBack[closeCode] ?? 'no',
  ]);
  const faults = [1002, 1003, 1007].map((closeCode) => [closeCode, '`request_invalid`', 'no'] as const);
  return [...rows, ...faults]
    .sort(([a], [b]) => a - b)
    .map(([closeCode, names, back]) => `| ${closeCode} | ${names} | ${back} |`)
    .join('\n');
}

const comesBack: Readonly<Record<number, string>> = {
  1011: 'as told',
  1012: 'as told; another instance resumes',
  1013: 'as told',
  4401: 'with another token',
};

function knownVariables(sections: readonly Section[]): string {
  const fields = [...sharedFields, ...sections].flatMap((section) =>
    Object.values<Field<unknown>>(section.fields),
  );
  const names = fields.flatMap(({ env, file }) => (file ? [env, `${env}_FILE`] : [env]));
  return `${JSON.stringify([...new Set(names)].sort(), null, 2)}\n`;
}

function checkNames(sections: readonly Section[]): void {
  const owners = new Map<string, Field<unknown>>();
  for (const section of [...sharedFields, ...sections]) {
    for (const field of Object.values<Field<unknown>>(section.fields)) {
      const { env } = field;
      if (!/^PUSHFLEET_[A-Z0-9_]+$/.test(env) || env.endsWith('_PORT')) {
        throw new Error(
          `${env} must begin with PUSHFLEET_ and not end in _PORT: Kubernetes injects such names.`,
        );
      }
      const owner = owners.get(env);
      if (owner !== undefined && owner !== field)
        throw new Error(`${env} is declared twice; share one declaration.`);
      owners.set(env, field);
    }
  }
}

const sections = await Promise.all(paths.map(readSection));
checkNames(sections);
const pages: Readonly<Record<string, string>> = {
  'docs/configuration.md': configurationPage(sections),
  'docs/errors.md': errorsPage(),
  'packages/runtime/src/known-variables.json': knownVariables(sections),
};
for (const [path, text] of Object.entries(pages)) {
  const file = join(root, path);
  if (!process.argv.includes('--check')) writeFileSync(file, text);
  else if (readIfThere(file) !== text) {
    console.error(`${path} is out of step with the code. Run "node scripts/docs.ts" and commit the result.`);
    process.exitCode = 1;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
