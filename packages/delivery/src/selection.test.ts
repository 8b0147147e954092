import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Publication, PushfleetError, parseTopic } from '@pushfleet/core';
import fc from 'fast-check';
import { expressionLength } from './expression.ts';
import { compileSelection, selectionTypes } from './selection.ts';

const publication: Publication = {
  id: 'o-1',
  source: '/shop',
  topic: parseTopic('shop/orders/1'),
  type: 'order.created',
  contentType: 'application/json',
  payload: Buffer.from('{}'),
  attributes: [
    ['region', 'eu'],
    ['amount', '250'],
    ['type', 'an attribute of this name'],
    ['with-dash', 'yes'],
    ['twice', '1'],
    ['twice', '2'],
  ],
  time: Date.UTC(2030, 0, 31, 12),
  shard: 0,
  sequence: 7,
};

const { type: _type, attributes: _attributes, ...bare } = publication;

const matches = (expression: string, of: Publication = publication): boolean =>
  compileSelection({ types: [], expression }, (error) => {
    throw error;
  })(of);

const isRefusal =
  (pattern = /./) =>
  (error: unknown): boolean =>
    error instanceof PushfleetError && error.code === 'request_invalid' && pattern.test(error.message);

describe('types', () => {
  it('lets everything through when nothing is asked', () => {
    assert.equal(compileSelection({ types: [], expression: '' })(publication), true);
  });

  it('takes any of the types, whole and in their case', () => {
    const of = (...types: string[]) => compileSelection({ types, expression: '' })(publication);
    assert.deepEqual(
      [of('order.created'), of('x', 'order.created'), of('order'), of('Order.created')],
      [true, true, false, false],
    );
  });

  it('knows publications without a type by the one that receivers are told', () => {
    assert.equal(compileSelection({ types: ['pushfleet.publication'], expression: '' })(bare), true);
    assert.equal(matches('type == "pushfleet.publication"', bare), true);
  });

  it('wants types and expression to hold', () => {
    const of = (types: string[], expression: string) => compileSelection({ types, expression })(publication);
    assert.deepEqual(
      [of(['order.created'], 'id == "o-1"'), of(['x'], 'id == "o-1"'), of(['order.created'], 'id == "x"')],
      [true, false, false],
    );
  });

  it('refuses too many, empty and long ones', () => {
    const of = (types: string[]) => compileSelection({ types, expression: '' });
    const many = Array.from({ length: selectionTypes }, (_, i) => `t${i}`);
    of(many.slice(1));
    of(many);
    assert.throws(() => of([...many, 'x']), isRefusal(/at most 64 types, not 65/));
    of(['t'.repeat(255), 't'.repeat(256)]);
    for (const type of ['', 't'.repeat(257), '\ud800']) assert.throws(() => of([type]), isRefusal());
  });
});

describe('expressions', () => {
  for (const [expression, expected] of [
    ['id == "o-1" && source == "/shop"', true],
    ['type == "order.created"', true],
    ['type.startsWith("order.") && !type.endsWith("deleted")', true],
    ['"type" in attributes && attributes.type == "an attribute of this name"', true],
    ['type == attributes.type', false],
    ['topic == subject && contentType == datacontenttype', true],
    ['topic.contains("orders")', true],
    ['attributes.region in ["eu", "us"]', true],
    ['attributes["with-dash"] == "yes"', true],
    ['int(attributes.amount) >= 100', true],
    ['double(attributes.amount) * 2.0 > 600.0', false],
    ['has(attributes.region) && !has(attributes.tenant)', true],
    ['attributes.twice == "2"', true],
    ['time >= timestamp("2030-01-01T00:00:00Z")', true],
    ['time.getHours() == 12 && time.getDayOfWeek() == 4', true],
    ['topic != "" ? region() : true', undefined],
    ['attributes.region.upperAscii() == "EU"', true],
    ['attributes.tenant == "a" || id == "o-1"', true],
    ['  type  ==\n"order.created" // the new ones', true],
    ['"é😀" != type', true],
    ['true', true],
  ] as const) {
    if (expected !== undefined) it(expression, () => assert.equal(matches(expression), expected));
    else
      it(`refuses ${expression}`, () => assert.throws(() => matches(expression), isRefusal(/no function/)));
  }

  it('does not match, and is no failure, where an attribute is absent', () => {
    for (const name of ['tenant', 'constructor', '__proto__', 'toString']) {
      assert.equal(matches(`attributes.${name} == "a"`), false);
      assert.equal(matches(`attributes["${name}"] != "a"`), false);
    }
    assert.equal(matches('attributes.region == "eu"', bare), false);
  });

  it('does not match, and says so, where a value is not what the expression takes it for', () => {
    for (const expression of ['int(attributes.region) > 1', '1 / 0 == 1', 'timestamp(id) < time']) {
      const failures: unknown[] = [];
      const judge = compileSelection({ types: [], expression }, (error) => failures.push(error));
      assert.equal(judge(publication), false);
      assert.equal(failures.length, 1);
    }
  });

  for (const [expression, reason] of [
    ['tpye == "x"', /has no "tpye"; there are id, .* \(character 1\)/],
    ['kind == "x"', /has no "kind"/],
    ['type == 1', /no such overload: string == int \(character 1\)/],
    ['type', /gives a string; it must be true or false/],
    ['(type == "x"', /is not understood: .* \(character 13\)/],
    ['type == "x" type', /is not understood/],
    [' ', /is not understood/],
    ['topic.matches("(a+)+$")', /has no function "matches"/],
    ['["a"].all(x, x == "a")', /has no function "all"/],
    ['cel.bind(x, id, x == id)', /has no function "bind"/],
    ['type(id) == string', /has no function "type"|has no "string"/],
    ['{"a": 1}["a"] == 1', /no maps/],
    ['dyn(id) == 1', /has no function "dyn"/],
    ['attributes.region.startsWith(1)', /is not understood/],
  ] as const) {
    it(`refuses ${expression}`, () => assert.throws(() => matches(expression), isRefusal(reason)));
  }

  it('is bounded in length, parts and depth', () => {
    const long = (length: number) => `id == "${'x'.repeat(length - 8)}"`;
    matches(long(expressionLength - 1));
    matches(long(expressionLength));
    assert.throws(() => matches(long(expressionLength + 1)), isRefusal(/1025 characters/));
    const parts = (count: number) =>
      `1 in [${Array(count - 3)
        .fill('1')
        .join(',')}]`;
    matches(parts(127));
    matches(parts(128));
    assert.throws(() => matches(parts(129)), isRefusal(/at most 128 parts/));
    const deep = (depth: number) => `${'('.repeat(depth)}true${')'.repeat(depth)}`;
    assert.equal(matches(deep(10)), true);
    assert.throws(() => matches(deep(100)), isRefusal(/nested 32 deep/));
  });

  it('either refuses or answers, whatever is written', () => {
    const word = fc.constantFrom(
      ...'id type topic attributes time kind has size int timestamp matches map all'.split(' '),
      ...'( ) [ ] { } . , ? : ! - + * / % && || == != < > in true 1 2u 1.5 "a" b"a" \' null'.split(' '),
    );
    const soup = fc.array(fc.oneof(word, fc.string()), { maxLength: 40 }).map((words) => words.join(' '));
    fc.assert(
      fc.property(soup, (expression) => {
        try {
          assert.equal(typeof compileSelection({ types: [], expression })(publication), 'boolean');
        } catch (error) {
          assert.ok(isRefusal()(error), String(error));
        }
      }),
    );
  });
});
