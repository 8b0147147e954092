import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { Cors } from '@pushfleet/edge';
import { embedderOf } from './embedder.ts';

const cors = new Cors(['https://app.example', '*']);
const host = 'push.example';

const frames: readonly [string, IncomingHttpHeaders, boolean, string | undefined][] = [
  ['of this origin', { 'sec-fetch-site': 'same-origin', referer: 'https://push.example/a' }, true, undefined],
  ['that somebody opened', { 'sec-fetch-site': 'none' }, true, undefined],
  [
    'of a listed origin',
    { 'sec-fetch-site': 'cross-site', referer: 'https://app.example/' },
    true,
    'https://app.example',
  ],
  [
    'of another origin',
    { 'sec-fetch-site': 'cross-site', referer: 'https://evil.example/' },
    false,
    'https://evil.example',
  ],
  ['that says nothing of itself', { 'sec-fetch-site': 'cross-site' }, false, undefined],
  ['with a Referer that is none', { 'sec-fetch-site': 'same-site', referer: 'data:,x' }, false, undefined],
  ['of an old browser, this origin', { referer: 'http://push.example/x' }, true, undefined],
  ['of an old browser, another origin', { referer: 'https://evil.example/' }, false, 'https://evil.example'],
  ['of a form, sandboxed', { 'sec-fetch-site': 'cross-site', origin: 'null' }, false, undefined],
  [
    'of a form of a listed origin',
    { 'sec-fetch-site': 'cross-site', origin: 'https://app.example' },
    true,
    'https://app.example',
  ],
  ['of no browser', {}, true, undefined],
];
for (const [what, given, trusted, origin] of frames) {
  test(`a frame ${what} is ${trusted ? '' : 'not '}trusted`, () => {
    const embedder = embedderOf({ host, ...given });
    assert.deepEqual([cors.trusts(embedder.headers), embedder.origin], [trusted, origin]);
  });
}
