import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

describe('the client in a page', () => {
  it('has less than 12 kB, minified and gzipped, and needs nothing else', async () => {
    const { outputFiles, metafile } = await build({
      entryPoints: [join(import.meta.dirname, 'mod.ts')],
      ...{ bundle: true, minify: true, write: false, metafile: true },
      ...{ format: 'esm', target: 'es2022', platform: 'browser' },
    });
    const [bundle] = outputFiles;
    const bytes = gzipSync(bundle?.contents ?? '', { level: 9 }).length;
    assert.ok(bytes < 12_000, `it has ${bytes} bytes`);
    const foreign = Object.keys(metafile.inputs).filter(
      (input) => !/(^|packages\/client\/)src\//.test(input),
    );
    assert.deepEqual(foreign, []);
    assert.doesNotMatch(
      bundle?.text ?? '',
      /\beval\(|new Function/,
      'a Content-Security-Policy may forbid those',
    );
  });
});
