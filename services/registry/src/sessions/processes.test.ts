import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connectJetStream } from '@pushfleet/bus';
import { type Servers, type ServiceProcess, startServers, until } from '@pushfleet/contract';
import type { Item, Namespace, Publication } from '@pushfleet/core';
import { internalClient } from '@pushfleet/runtime';
import { secret } from '../testing.ts';
import { fieldsOf, keyOf, SessionApi, team, textsOf, willOf } from './testing.ts';

/** A real broker, a real Redis, and the registry as processes: the gossip of the fleet is that of the fleet. */
describe('sessions of registries as processes', () => {
  let servers: Servers;
  let one: ServiceProcess;
  let two: ServiceProcess;
  const apiOf = (service: ServiceProcess): SessionApi => {
    const none = { internalTlsCa: undefined, internalTlsCert: undefined, internalTlsKey: undefined };
    const config = { internalSecret: undefined, tokenSecret: secret, ...none };
    return new SessionApi(
      internalClient(config, { url: `http://${service.addresses.grpc}`, service: 'test' }),
    );
  };

  before(async () => {
    servers = await startServers({ secret });
    const env = { PUSHFLEET_SESSION_DEAD_SECONDS: '6' };
    [one, two] = await Promise.all([servers.start('registry', env), servers.start('registry', env)]);
  });
  after(() => servers?.stop());

  it('outlive a kill of their registry, and of an instance that nobody hears of', {
    timeout: 120_000,
  }, async () => {
    const backbone = connectJetStream({ servers: servers.nats.url, name: 'test', log: console as never });
    await backbone.start();
    const wills: string[] = [];
    const following = backbone.bus(team as Namespace).follow((item: Item<Publication>) => {
      if (item.kind === 'publication') wills.push(item.value.topic);
    });
    await following.add('#' as never);
    const [first, second] = [apiOf(one), apiOf(two)];
    const { generation } = await first.own(keyOf('c'), { instanceId: 'never-heard', will: willOf('w') });
    const shared = { filter: 's/#', group: 'g', options: Buffer.alloc(0), startCursor: '', groupId: '' };
    const { filters } = await first.update(keyOf('c'), generation, { addFilters: [shared] });
    assert.match(filters[0]?.groupId ?? '', /^[\w-]{22}$/);
    assert.equal(await first.commit(keyOf('c'), generation, { putFields: fieldsOf({ a: 'b' }) }), 'stored');
    await one.kill('SIGKILL');
    assert.equal(await second.commit(keyOf('c'), generation, { cursor: 'here' }), 'stored');
    await until(() => wills.length > 0, 'the will');
    const late = () => second.commit(keyOf('c'), generation, { cursor: 'late' });
    await until(async () => (await late()) === 'lapsed', 'word that nobody has it');
    const again = await second.acquire(keyOf('c'));
    assert.equal(again.resumed, true);
    assert.deepEqual([again.state?.cursor, textsOf(again.state?.fields)], ['here', { a: 'b' }]);
    await second.end(keyOf('c'));
    assert.deepEqual(wills, ['w']);
    first.close();
    second.close();
    await backbone.close();
  });
});
