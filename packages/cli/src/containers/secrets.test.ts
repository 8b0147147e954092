import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '@pushfleet/contract';
import { writeSecrets } from './secrets.ts';

test('no secret is made of nothing, and none that breaks the URL or the file it stands in', () => {
  const folder = temporaryFolder('secrets');
  writeSecrets(folder);
  const original = join(folder, 'originals/nats-publish');
  const users = () => readFileSync(join(folder, 'nats/users.conf'), 'utf8');
  const before = users();
  writeFileSync(original, '');
  assert.throws(() => writeSecrets(folder), /nats-publish is empty/);
  writeFileSync(original, 'a@b');
  assert.throws(() => writeSecrets(folder), /nats-publish has other characters/);
  assert.equal(users(), before);
  writeFileSync(original, 'my-own_1\n');
  writeSecrets(folder);
  assert.match(users(), /PUBLISH_PASSWORD: "my-own_1"\n/);
  assert.equal(writeSecrets(folder).written.length, 0);
});
