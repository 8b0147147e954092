import { join } from 'node:path';
import ts from 'typescript';
import { root } from './fleet.ts';
import type { Manifest } from './testing-chart.ts';

// kubernetes-models is made from Kubernetes' OpenAPI document and the definitions of the others' resources. Its validators
// know types, enumerations and what is required, and pass over fields that they do not know; its declarations know
// every field, and the compiler refuses others in a literal.

function moduleOf({ apiVersion, kind }: Manifest): string {
  if (apiVersion.startsWith('gateway.networking.k8s.io/'))
    return `@kubernetes-models/gateway-api/${apiVersion}/${kind}`;
  if (apiVersion.startsWith('monitoring.coreos.com/'))
    return `@kubernetes-models/prometheus-operator/${apiVersion}/${kind}`;
  return `kubernetes-models/${apiVersion}/${kind}`;
}

interface Model {
  validate(): void;
}

/** What the validators find wrong, each with the name of its manifest. */
export async function wrongTypes(manifests: readonly Manifest[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const manifest of manifests) {
    const models = (await import(moduleOf(manifest))) as Readonly<
      Record<string, new (data: Manifest) => Model>
    >;
    const model = models[manifest.kind];
    if (model === undefined)
      throw new Error(`There is no schema of ${manifest.apiVersion} ${manifest.kind}.`);
    try {
      new model(manifest).validate();
    } catch (error) {
      problems.push(`${manifest.kind} ${manifest.metadata.name}: ${(error as Error).message}`);
    }
  }
  return problems;
}

/** What the compiler finds wrong: unknown fields, and types once more. */
export function unknownFields(manifests: readonly Manifest[]): readonly string[] {
  const file = join(root, 'helm/src/manifests.virtual.ts');
  const parts = manifests.map(
    (manifest, index) =>
      `import type { I${manifest.kind} as I${index} } from '${moduleOf(manifest)}';\nconst m${index}: I${index} = ${JSON.stringify(manifest, null, 1)};\n`,
  );
  const starts: number[] = [];
  let text = '';
  for (const part of parts) {
    starts.push(text.length);
    text += part;
  }
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2024,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.getSourceFile = (path, target) =>
    path === file ? ts.createSourceFile(file, text, target) : getSourceFile(path, target);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program, program.getSourceFile(file)).map(({ messageText, start = 0 }) => {
    const manifest = manifests[starts.findLastIndex((at) => at <= start)];
    return `${manifest?.kind} ${manifest?.metadata.name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
