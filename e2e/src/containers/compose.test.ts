import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import type { FaultCase } from '../fault-suite/cases.ts';
import { measure } from '../fault-suite/measure.ts';
import { Compose } from './compose.ts';
import { withoutEngine } from './engine.ts';
import { oneToEverybody } from './everything.ts';
import { ContainerGround, oneKilled } from './faults.ts';

const away = await withoutEngine();
const mebibyte = 1_048_576;

suite('docker compose up --build --wait', { skip: away ?? false }, () => {
  let fleet: Compose;
  before(async () => {
    fleet = await Compose.up();
  });
  after(() => fleet?.down());

  test('all is healthy, and what runs once has ended well', async () => {
    for (const { Name, Service, State, Health, ExitCode } of await fleet.containers()) {
      const once = ['secrets', 'migrate'].includes(Service);
      assert.deepEqual([State, Health, ExitCode], once ? ['exited', '', 0] : ['running', 'healthy', 0], Name);
    }
  });

  test('nobody runs as root or writes to an image, and the image is small and has no npm', async () => {
    for (const { ID, Name, Service } of await fleet.containers()) {
      const [user, readOnly, added] = JSON.parse(
        await fleet.inspect(
          ID,
          '[{{json .Config.User}},{{.HostConfig.ReadonlyRootfs}},{{json .HostConfig.CapAdd}}]',
        ),
      );
      assert.equal(readOnly, true, Name);
      if (Service === 'secrets') continue; // hands the volumes over, without a network
      assert.match(user, /^1000:/, Name);
      assert.deepEqual(added ?? [], Service === 'front' ? ['CAP_NET_BIND_SERVICE'] : [], Name);
    }
    const [publish] = await fleet.instancesOf('publish');
    const image = await fleet.inspect(publish?.ID ?? '', '{{.Image}}');
    assert.ok(Number(await fleet.inspect(image, '{{.Size}}')) < 300 * mebibyte);
    const look =
      'command -v npm npx corepack gcc make; find /app/packages /app/services -name "*.test.ts"; ls -d /app/node_modules/typescript /app/node_modules/turbo 2>/dev/null';
    assert.equal(await fleet.compose('exec', '-T', 'publish', 'sh', '-c', `${look}; true`), '');
  });

  test('one publication, by gRPC, comes out of every edge and of a webhook', () => oneToEverybody(fleet));

  test('a signal reaches Node: what is stopped drains, and ends with 0', async () => {
    await fleet.compose('stop', 'delivery-websub', 'edge-sse');
    const stopped = (await fleet.containers()).filter(({ Service }) =>
      ['delivery-websub', 'edge-sse'].includes(Service),
    );
    assert.deepEqual(
      stopped.map(({ State, ExitCode }) => [State, ExitCode]),
      stopped.map(() => ['exited', 0]),
    );
    await fleet.compose('up', '--detach', '--wait');
  });

  // npm run faults -- --containers kills each part in turn.
  test('SIGKILL of an instance of each edge loses nothing', async (t) => {
    const ground = await ContainerGround.on(fleet);
    t.after(() => ground.receivers.close());
    const fault: FaultCase<Compose> = {
      ...{ kind: 'containers', where: 'edge', what: 'kill -9, one of each kind' },
      play: oneKilled(...fleet.protocols),
    };
    const seed = Number(process.env.PUSHFLEET_FAULT_SEED ?? randomInt(1_000_000));
    const { broken } = await measure(ground, fault, seed);
    if (broken.length > 0) t.diagnostic(`${await fleet.logs()}\nPUSHFLEET_FAULT_SEED=${seed} plays it again`);
    assert.deepEqual(broken, []);
  });
});
