import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { chart, root } from './fleet.ts';

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext?: Record<string, unknown>;
  readonly [field: string]: unknown;
}

interface Source {
  readonly name: string;
  readonly items: readonly { readonly key: string; readonly path: string }[];
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly projected?: {
      readonly sources: readonly { readonly secret?: Source; readonly configMap?: Source }[];
    };
  }[];
  readonly terminationGracePeriodSeconds?: number;
  readonly [field: string]: unknown;
}

export type Labels = Readonly<Record<string, string>>;

// biome-ignore lint/suspicious/noExplicitAny: a manifest of any kind; its types are checked against Kubernetes' own.
type Spec = any;

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Labels; readonly annotations?: Labels };
  readonly spec: Spec;
  readonly data?: Readonly<Record<string, string>>;
}

const run = promisify(execFile);

/** Value sets by name: the chart's own values, and the files of helm/values. */
export const valueSets = ['default', 'minimal', 'production', 'gateway', 'everything'] as const;

export const release = 'push';

function valuesArguments(set: string): readonly string[] {
  return set === 'default' ? [] : ['-f', join(root, 'helm/values', `${set}.yaml`)];
}

/** @throws Error with what Helm said */
async function template(helm: string, more: readonly string[] = []): Promise<readonly Manifest[]> {
  const { stdout } = await run(helm, ['template', release, chart, '-n', 'push', ...more], {
    maxBuffer: 64 * 1_048_576,
  });
  return parse(stdout);
}

export async function templateSet(helm: string, set: string): Promise<readonly Manifest[]> {
  return template(helm, valuesArguments(set));
}

export async function lint(helm: string, set: string): Promise<string> {
  const { stdout } = await run(helm, ['lint', '--strict', chart, ...valuesArguments(set)]);
  return stdout;
}

/** What Helm says where it refuses these values. */
export async function refusal(helm: string, values: unknown): Promise<string> {
  const child = run(helm, ['template', release, chart, '-f', '-']);
  child.child.stdin?.end(JSON.stringify(values));
  return child.then(
    () => '',
    (error: { readonly stderr: string }) => error.stderr,
  );
}

export async function templateWith(helm: string, values: unknown): Promise<readonly Manifest[]> {
  const child = run(helm, ['template', release, chart, '-f', '-'], { maxBuffer: 64 * 1_048_576 });
  child.child.stdin?.end(JSON.stringify(values));
  return parse((await child).stdout);
}

// YAML 1.1 is what Kubernetes reads: there an unquoted "on" is true. A key that comes twice is an error.
function parse(text: string): readonly Manifest[] {
  return parseAllDocuments(text, { version: '1.1' }).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`${document.errors[0]?.message}\n${String(document)}`);
    const manifest = document.toJS() as Manifest | null;
    return manifest === null ? [] : [manifest];
  });
}

export const ofKind = (manifests: readonly Manifest[], kind: string): readonly Manifest[] =>
  manifests.filter((manifest) => manifest.kind === kind);

export function named(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  if (found === undefined) throw new Error(`There is no ${kind} ${name}.`);
  return found;
}

/** Everything that becomes a pod: its labels and its spec. */
export function pods(
  manifests: readonly Manifest[],
): readonly { readonly name: string; readonly labels: Labels; readonly spec: PodSpec }[] {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind === 'Pod') return [{ name: metadata.name, labels: metadata.labels, spec: spec as PodSpec }];
    if (kind !== 'Deployment' && kind !== 'Job') return [];
    return [{ name: metadata.name, labels: spec.template.metadata.labels, spec: spec.template.spec }];
  });
}

export const selects = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([label, value]) => labels[label] === value);

export const envOf = (pod: { readonly spec: PodSpec }): ReadonlyMap<string, string> =>
  new Map(pod.spec.containers[0]?.env?.map(({ name, value = '' }) => [name, value]));
