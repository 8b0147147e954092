// Requests made of the OpenAPI document: as it asks for them, and then with something wrong. `npm run conformance`
// does the same with a tool that others wrote, and longer.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { document } from './openapi.ts';
import type { Schema } from './schema/json-schema.ts';
import { manager, startWebhookFleet, type WebhookFleet } from './testing.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly schema: Schema;
}

interface Request {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: unknown;
}

/** What a schema asks for, as far as the document's schemas go; combinations of schemas are left to chance. */
function arbitraryOf(schema: Schema): fc.Arbitrary<unknown> {
  const { type, enum: choices, pattern, examples, properties, items, minimum = 0, maximum = 1e9 } = schema;
  if (examples !== undefined) return fc.oneof(fc.constantFrom(...(examples as unknown[])), ofType());
  return ofType();

  function ofType(): fc.Arbitrary<unknown> {
    if (choices !== undefined) return fc.constantFrom(...(choices as unknown[]));
    const [first] = [type].flat();
    switch (first) {
      case 'integer':
        return fc.integer({ min: minimum as number, max: maximum as number });
      case 'boolean':
        return fc.boolean();
      case 'array':
        return fc.array(arbitraryOf(items as Schema), { maxLength: 4 });
      case 'object':
        return properties === undefined
          ? dictionaryOf(schema)
          : recordOf(properties as Record<string, Schema>);
      default:
        if (schema.format === 'date-time') return timeText;
        return pattern === undefined ? fc.string() : fc.stringMatching(new RegExp(String(pattern)));
    }
  }
}

const timeText = fc
  .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());

const dictionaryOf = ({ propertyNames, additionalProperties }: Schema): fc.Arbitrary<unknown> =>
  fc.dictionary(
    arbitraryOf({ type: 'string', ...(propertyNames as Schema) }) as fc.Arbitrary<string>,
    arbitraryOf(additionalProperties as Schema),
    {
      maxKeys: 3,
    },
  );

const recordOf = (properties: Record<string, Schema>): fc.Arbitrary<unknown> =>
  fc.record(Object.fromEntries(Object.entries(properties).map(([name, of]) => [name, arbitraryOf(of)])), {
    requiredKeys: [],
  });

/** A body as it is asked for, complete or not, with one field of anything, or anything at all. */
function bodyOf(schema: Schema | undefined): fc.Arbitrary<unknown> {
  if (schema === undefined) return fc.constant(undefined);
  const good = arbitraryOf(schema) as fc.Arbitrary<object>;
  const names = Object.keys(schema.properties as object);
  const wrong = fc
    .tuple(good, fc.oneof(fc.constantFrom(...names), fc.string()), fc.jsonValue())
    .map(([body, name, value]) => ({ ...body, [name]: value }));
  const likely = good.map((body) => ({ filter: 'orders/#', url: 'https://shop.example.com/', ...body }));
  return fc.oneof({ arbitrary: likely, weight: 3 }, good, { arbitrary: wrong, weight: 2 }, fc.jsonValue());
}

function requestOf(template: string, { parameters = [], requestBody }: Operation): fc.Arbitrary<Request> {
  const values = fc.record(
    Object.fromEntries(
      parameters.map(({ name, schema }) => [
        name,
        fc.oneof(arbitraryOf(schema), fc.string(), fc.constant('one')),
      ]),
    ),
  ) as fc.Arbitrary<Record<string, unknown>>;
  const body = bodyOf(requestBody?.content['application/json'].schema);
  return fc
    .tuple(values, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), body)
    .map(([value, taken, json]) => {
      const given = parameters.filter((parameter, index) => parameter.in === 'path' || taken[index % 8]);
      const query = new URLSearchParams();
      const headers: Record<string, string> = {};
      let path = template;
      for (const { name, in: where } of given) {
        const text = String(value[name]);
        if (where === 'path') path = path.replace(`{${name}}`, segmentOf(text));
        else if (where === 'query') query.append(name, text);
        else if (/^[\x21-\x7e]+$/.test(text)) headers[name] = text;
      }
      return { path: `${path}?${query}`, headers, body: json };
    });
}

/** Clients take empty segments and dots for steps through the path. */
const segmentOf = (text: string): string => (/^\.{0,2}$/.test(text) ? '_' : encodeURIComponent(text));

describe('requests of any kind', () => {
  let fleet: WebhookFleet;

  before(async () => {
    fleet = await startWebhookFleet({
      PUSHFLEET_SUBSCRIPTION_BURST: '1000000',
      PUSHFLEET_TICKET_BURST: '1000000',
    });
  });
  after(() => fleet.close());

  /** Some of the requests name it, and some end it. */
  beforeEach(async () => {
    const body = { id: 'one', filter: 'orders/#', url: 'https://shop.example.com/' };
    await fleet.ask('POST', '/v1/subscriptions', { claims, body });
  });

  const claims = { ...manager, pushfleet: { subscribe: ['#'], presence: ['#'], manage: true } };

  for (const [template, operations] of Object.entries(document.paths as Record<string, object>)) {
    const { parameters: shared = [], ...methods } = operations as { parameters?: Parameter[] } & Record<
      string,
      Operation
    >;
    for (const [method, operation] of Object.entries(methods as Record<string, Operation>)) {
      it(`${operation.operationId}: answered as the document says, and never by a failure`, async () => {
        const parameters = [...shared, ...(operation.parameters ?? [])];
        await fc.assert(
          fc.asyncProperty(
            requestOf(template, { ...operation, parameters }),
            async ({ path, headers, body }) => {
              const { status } = await fleet.ask(method.toUpperCase(), path, { claims, headers, body });
              assert.ok(status < 500, `${method} ${path} ${JSON.stringify(body)}: ${status}`);
            },
          ),
          { numRuns: 60 },
        );
      });
    }
  }
});
