import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, matches, PushfleetError, parseTopic, type Topic } from '@pushfleet/core';
import fc from 'fast-check';
import { channelOf, filterOf, kindOf, topicOf } from './channel.ts';

const refused = (code: string) => (error: unknown) => error instanceof PushfleetError && error.code === code;

describe('a channel', () => {
  for (const [channel, topic] of [
    ['/a', 'a'],
    ['/a/b', 'a/b'],
    ['/a/', 'a/'],
    ['//a', '/a'],
    ['/$presence/room', '$presence/room'],
    ['/meta', 'meta'],
    ['/metadata/x', 'metadata/x'],
    ['/a/*/b', 'a/*/b'],
    ['/größe/1.5', 'größe/1.5'],
  ] as const) {
    test(`${channel} is the topic ${topic}, and back`, () => {
      assert.equal(topicOf(channel), topic);
      assert.equal(channelOf(topic as Topic), channel);
    });
  }

  for (const channel of [
    '',
    'a',
    '/',
    '/a/*',
    '/a/**',
    '/*',
    '/meta/x',
    '/service/x',
    '/a/+',
    '/a/#',
    '/\0',
  ]) {
    test(`${JSON.stringify(channel)} is nothing to publish to`, () => {
      assert.throws(() => topicOf(channel), refused('topic_invalid'));
    });
  }

  test('has no longer topic than others', () => {
    assert.equal(topicOf(`/${'x'.repeat(limits.topicBytes)}`).length, limits.topicBytes);
    assert.throws(() => topicOf(`/${'x'.repeat(limits.topicBytes + 1)}`), refused('topic_invalid'));
  });

  test('of the protocol is known by its first segment', () => {
    assert.deepEqual(['/meta/x', '/service/x', '/metax', '/meta'].map(kindOf), [
      'meta',
      'service',
      'plain',
      'plain',
    ]);
  });

  // A publisher must not be able to speak in the server's name.
  for (const topic of ['meta/connect', 'service/gap', 'a/*', '**', 'a/**']) {
    test(`there is none for the topic ${topic}`, () => {
      assert.equal(channelOf(topic as Topic), undefined);
    });
  }
});

describe('a pattern', () => {
  for (const [pattern, filter] of [
    ['/a/b', 'a/b'],
    ['/a/*', 'a/+'],
    ['/*', '+'],
    ['/a/**', 'a/+/#'],
    ['/**', '#'],
    ['/$presence/*', '$presence/+'],
  ] as const) {
    test(`${pattern} is the filter ${filter}`, () => assert.equal(filterOf(pattern), filter));
  }

  for (const pattern of ['', '/', 'a/*', '/a/+', '/#', '/a#', '/a/*/b', '/**/b', '/*/*', '/a/*/**']) {
    test(`${JSON.stringify(pattern)} is none`, () => {
      assert.throws(() => filterOf(pattern), refused('filter_invalid'));
    });
  }

  for (const pattern of ['/meta/*', '/meta/connect', '/meta/**']) {
    test(`${pattern} is nobody's to hear`, () =>
      assert.throws(() => filterOf(pattern), refused('forbidden')));
  }

  test('matches the topics that its channels are', () => {
    const segment = fc.constantFrom('a', 'b', 'c');
    const segments = fc.array(segment, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(segments, fc.constantFrom('*', '**'), segments, (prefix, wild, name) => {
        const below = prefix.every((one, i) => name[i] === one) ? name.length - prefix.length : 0;
        const expected = wild === '*' ? below === 1 : below >= 1;
        return matches(filterOf(`/${[...prefix, wild].join('/')}`), parseTopic(name.join('/'))) === expected;
      }),
      { numRuns: 3_000 },
    );
  });
});
