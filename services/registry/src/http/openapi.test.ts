import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@pushfleet/contract';
import { Validator } from '@seriousme/openapi-schema-validator';
import { document } from './openapi.ts';
import { answered, hook, type Json, manager, startWebhookFleet, type WebhookFleet } from './testing.ts';

const methods = ['get', 'post', 'patch', 'delete'];
const operations = Object.values(
  document.paths as Record<string, Record<string, { operationId: string }>>,
).flatMap((path) =>
  methods.flatMap((method) => (path[method] === undefined ? [] : [path[method].operationId])),
);

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1', async () => {
    const validator = new Validator();
    const plain = JSON.parse(JSON.stringify(document)) as Record<string, unknown>;
    const { valid, errors } = await validator.validate(plain);
    assert.ok(valid, JSON.stringify(errors, undefined, 2));
    assert.equal(validator.version, '3.1');
  });

  it('gives every operation a name of its own', () => {
    assert.equal(new Set(operations).size, operations.length);
  });

  describe('of a registry', () => {
    let fleet: WebhookFleet;

    before(async () => {
      fleet = await startWebhookFleet();
    });
    after(() => fleet.close());

    it('is served without a token', async () => {
      const response = await fetch(`${fleet.registry.url}/v1/openapi.json`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8');
      assert.deepEqual(await response.json(), JSON.parse(JSON.stringify(document)));
    });

    it('tells of every answer to every operation', async () => {
      const one = '/v1/subscriptions/one';
      const ask = fleet.ask.bind(fleet);
      await ask('POST', '/v1/subscriptions', { body: { ...hook, id: 'one' } });
      await fleet.publish('1', 'orders/1');
      const attempts = async () => (await ask('GET', `${one}/attempts`)).body.attempts as Json[];
      await until(async () => (await attempts()).some(({ why }) => why === 'publication'), 'an attempt');
      fleet.answer = () => ({ verdict: 'failed', status: 500, durationMs: 1, error: 'It answered 500.' });
      await fleet.publish('2', 'orders/1');
      const letters = async () => (await ask('GET', `${one}/dead-letters`)).body.deadLetters as Json[];
      await until(async () => (await letters()).length === 1, 'a dead letter');
      await ask('POST', `${one}/dead-letters/${(await letters())[0]?.letter}/redeliver`);
      await ask('POST', `${one}/dead-letters/redeliver`);
      await ask('POST', `${one}/test`);
      await ask('POST', `${one}/replay`, { body: { since: '2030-01-01T00:00:00Z' } });
      await ask('GET', '/v1/subscriptions');
      await ask('GET', one);
      await ask('PATCH', one, { body: { rate: 5 } });
      await ask('POST', `${one}/pause`);
      await ask('POST', `${one}/resume`);
      await ask('POST', `${one}/rotate-secret`);
      await ask('DELETE', one);
      await ask('POST', '/v1/tickets');
      const { body: revoked } = await ask('POST', '/v1/revocations', {
        claims: manager,
        body: { subject: 'x' },
      });
      await ask('POST', '/v1/revocations', { claims: manager, body: { subject: 'x' } });
      await ask('GET', '/v1/revocations', { claims: manager });
      await ask('DELETE', `/v1/revocations/${revoked.id}`, { claims: manager });
      await ask('GET', '/v1/presence?topic=a', { claims: { sub: 'alice', pushfleet: { presence: ['#'] } } });
      await ask('GET', '/v1/openapi.json');
      const well = new Set([...answered].filter((of) => / 2\d\d$/.test(of)).map((of) => of.split(' ')[0]));
      assert.deepEqual(
        operations.filter((id) => !well.has(id)),
        [],
      );
    });
  });
});
