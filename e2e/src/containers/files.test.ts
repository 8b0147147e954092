// What deploy/ and docker-compose.yml say, held against the code; none of it needs an engine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { temporaryFolder } from '@pushfleet/contract';
import { parse } from 'yaml';
import { run } from './engine.ts';

const root = resolve(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const readYaml = <T>(path: string): T => parse(read(path), { merge: true, maxAliasCount: -1 }) as T;

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly user?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly mem_limit?: string;
  readonly pids_limit?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly healthcheck?: object;
  readonly depends_on?: Readonly<Record<string, object>>;
  readonly profiles?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, object>>;
}

interface Field {
  readonly env: string;
  readonly fallback: string | undefined;
}

const folders = readdirSync(join(root, 'services'));
const known = new Set(JSON.parse(read('packages/runtime/src/known-variables.json')) as string[]);
const compose = readYaml<Compose>('docker-compose.yml');
const small = readYaml<Compose>('deploy/compose.small.yml');
const dockerfile = read('deploy/Dockerfile');
const listed = Object.entries(compose.services);
const telemetry = ['collector', 'prometheus', 'grafana'];

/** Every `_LISTEN` variable of a service with the port that it has by default. */
async function listenersOf(service: string): Promise<readonly (readonly [name: string, port: number])[]> {
  const { fields } = (await import(join(root, 'services', service, 'src/config.ts'))) as {
    fields: Readonly<Record<string, Field>>;
  };
  return Object.values(fields)
    .filter(({ env }) => env.endsWith('_LISTEN'))
    .map(({ env, fallback = '' }) => [env, Number(fallback.split(':').at(-1))] as const);
}

const allListeners = async () => (await Promise.all(folders.map(listenersOf))).flat();

suite('the image', () => {
  test('listens where every service listens by default, and names nothing that the configuration does not know', async () => {
    const set = [...dockerfile.matchAll(/(PUSHFLEET_[A-Z0-9_]+)=0\.0\.0\.0:(\d+)/g)].map(
      ([, name = '', port]) => [name, Number(port)] as const,
    );
    assert.deepEqual(Object.fromEntries(set), Object.fromEntries(await allListeners()));
    const named = dockerfile.match(/PUSHFLEET_[A-Z0-9_]+/g) ?? [];
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });

  test('ends without root, without npm, and says how it is', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
    assert.match(last, /\nUSER 1000:1000\n/);
    assert.match(last, /\nHEALTHCHECK .*image\/health/);
    assert.match(last, /\nENTRYPOINT \["/);
    assert.match(last, /rm -rf .*\/usr\/local\/bin\/npm/);
    assert.doesNotMatch(last, /RUN .*(npm ci|npm install|apt-get)/);
  });

  test('has a bill of what is in it, without addresses and paths', () => {
    assert.match(dockerfile, /node scripts\/sbom\.ts out\/sbom\.json/);
    const text = execFileSync(process.execPath, [join(root, 'scripts/sbom.ts')], { encoding: 'utf8' });
    const { components, dependencies } = JSON.parse(text) as {
      components: readonly { purl: string; licenses: readonly object[]; hashes: readonly object[] }[];
      dependencies: readonly { ref: string; dependsOn: readonly string[] }[];
    };
    const listed = new Set(components.map(({ purl }) => purl.slice(0, purl.lastIndexOf('@'))));
    for (const folder of folders) {
      const { dependencies: direct } = JSON.parse(read(`services/${folder}/package.json`)) as {
        dependencies: Readonly<Record<string, string>>;
      };
      const foreign = Object.keys(direct).filter((name) => !name.startsWith('@pushfleet/'));
      for (const name of foreign) assert.ok(listed.has(`pkg:npm/${name.replace('@', '%40')}`), name);
    }
    for (const { purl, licenses, hashes } of components) assert.ok(licenses.length * hashes.length > 0, purl);
    const refs = new Set(dependencies.map(({ ref }) => ref));
    assert.ok(dependencies.every(({ dependsOn }) => dependsOn.every((ref) => refs.has(ref))));
    assert.doesNotMatch(text, /https?:|resolved/);
    assert.ok(!text.includes(root));
  });

  test('starts whatever is below services/, and the command', () => {
    for (const name of folders) assert.ok(statSync(join(root, 'services', name, 'src/main.ts')).isFile());
    const ignored = read('.dockerignore').split('\n');
    for (const needed of ['services', 'packages', 'proto', 'deploy', 'package-lock.json', 'turbo.json'])
      assert.ok(!ignored.includes(needed), needed);
    for (const away of ['.git', '**/node_modules', '**/.pushfleet']) assert.ok(ignored.includes(away), away);
  });
});

suite('docker-compose.yml', () => {
  test('has every service, each ready before it counts as healthy and behind migrate', () => {
    for (const name of folders) {
      const service = compose.services[name];
      assert.ok(service !== undefined, `docker-compose.yml has no ${name}`);
      assert.deepEqual(service.command, [name]);
      assert.match(JSON.stringify(service.healthcheck), /"readyz"/);
      assert.deepEqual(service.depends_on?.migrate, { condition: 'service_completed_successfully' });
    }
    const services = listed.filter(([, { image }]) => image?.includes('pushfleet:')).map(([name]) => name);
    assert.deepEqual(services.toSorted(), [...folders, 'secrets', 'migrate'].toSorted());
  });

  test('confines everybody, and publishes on loopback alone', () => {
    for (const [name, { user, read_only, cap_drop, mem_limit, pids_limit, ports = [] }] of listed) {
      assert.deepEqual([read_only, cap_drop], [true, ['ALL']], name);
      assert.ok(
        mem_limit !== undefined && pids_limit !== undefined,
        `${name} takes memory and processes without a bound`,
      );
      if (name !== 'secrets') assert.match(user ?? '', /^1000:/, name);
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name);
    }
  });

  test('publishes ports that somebody listens at', async () => {
    const ports = new Set((await allListeners()).map(([, port]) => port));
    const caddy = [...read('deploy/caddy/Caddyfile').matchAll(/^:(\d+) \{/gm)].map(([, port]) =>
      Number(port),
    );
    const own: Readonly<Record<string, readonly number[]>> = {
      front: caddy,
      prometheus: [9090],
      grafana: [3000],
    };
    for (const [name, { ports: published = [] }] of listed) {
      for (const text of published) {
        const inside = Number(text.split(':').at(-1));
        assert.ok((own[name] ?? [...ports]).includes(inside), `${name} publishes ${text}`);
      }
    }
  });

  test('sets and passes on no variable that the configuration does not know', () => {
    for (const path of ['docker-compose.yml', 'deploy/compose.small.yml']) {
      const named = read(path).match(/\bPUSHFLEET_[A-Z0-9_]+\b/g) ?? [];
      assert.deepEqual(
        named.filter((name) => !known.has(name)),
        [],
        path,
      );
    }
  });

  test('has secrets in files alone, which the command writes for that part, readable by it alone', async () => {
    const folder = temporaryFolder('secrets');
    const pushfleet = join(root, 'packages/cli/src/main.ts');
    await run(process.execPath, [pushfleet, 'secrets', folder]);
    const again = await run(process.execPath, [pushfleet, 'secrets', folder, '--json']);
    assert.deepEqual(JSON.parse(again), { made: [], written: [] });
    for (const [name, { environment = {}, volumes = [] }] of listed) {
      const mount = volumes.find((text) => text.includes(':/run/secrets:ro'));
      const part = mount?.split('-secrets:')[0] ?? '';
      for (const [variable, value] of Object.entries(environment)) {
        assert.doesNotMatch(variable, /(SECRET|KEYS|PASSWORD|CREDS)$/, name);
        if (!value?.startsWith('/run/secrets/')) continue;
        const { mode } = statSync(join(folder, part, value.slice('/run/secrets/'.length)));
        assert.equal(mode & 0o777, 0o600, `${name} ${variable}`);
      }
    }
    for (const { environment = {} } of Object.values(small.services)) {
      const files = Object.values(environment).filter((value) => value.startsWith('/run/secrets/'));
      for (const file of files) assert.ok(statSync(join(folder, 'registry', file.slice(13))).isFile(), file);
    }
  });

  test('is not started on the log of a fleet with another number of servers', async () => {
    const folder = temporaryFolder('secrets');
    mkdirSync(join(folder, 'originals'));
    const [text = ''] = compose.services.secrets?.command ?? [];
    const script = text.replaceAll('$$', '$').replaceAll('/secrets/', `${folder}/`);
    const start = ({ services }: Compose) =>
      // What lies in the image is left out.
      run('sh', ['-ec', `pushfleet() { :; }; chown() { :; }; ${script}`], {
        ...services.secrets?.environment,
      });
    await start(small);
    await start(small);
    await assert.rejects(start(compose), /began with 1 NATS servers, and is started with 3/);
    await start(small);
  });

  test('is small by its override: one NATS, one Redis, one of each service', () => {
    const gone = Object.entries(small.services).flatMap(([name, { profiles }]) => (profiles ? [name] : []));
    assert.deepEqual(gone, ['nats-2', 'nats-3', 'redis-2', 'sentinel-1', 'sentinel-2', 'sentinel-3']);
    for (const name of folders) assert.ok(name in small.services, `deploy/compose.small.yml has no ${name}`);
    // What is absent is waited for by nobody.
    for (const [name, { depends_on = {} }] of listed.filter(([name]) => !gone.includes(name))) {
      for (const [other, how] of Object.entries(depends_on)) {
        if (gone.includes(other))
          assert.equal((how as { required?: boolean }).required, false, `${name} ${other}`);
      }
    }
  });

  test('keeps telemetry behind its profile', () => {
    const behind = listed.flatMap(([name, { profiles }]) => (profiles?.includes('telemetry') ? [name] : []));
    assert.deepEqual(behind, telemetry);
  });
});

suite('the configuration of others', () => {
  test('Caddyfile is what deploy/routes.json says', async () => {
    await run(process.execPath, [join(root, 'scripts/caddyfile.ts'), '--check']);
    const text = read('deploy/caddy/Caddyfile');
    const { routes } = JSON.parse(read('deploy/routes.json')) as { routes: { path: string }[] };
    for (const { path } of routes) assert.ok(text.includes(` ${path}`), path);
  });

  test('Prometheus asks every service at its operations port', async () => {
    interface Job {
      readonly job_name: string;
      readonly dns_sd_configs: readonly [{ readonly names: readonly string[]; readonly port: number }];
    }
    const { scrape_configs: jobs } = readYaml<{ scrape_configs: readonly Job[] }>(
      'deploy/prometheus/prometheus.yml',
    );
    const asked = jobs.map(({ job_name, dns_sd_configs: [{ names, port }] }) => [job_name, ...names, port]);
    const own = folders.map(async (name) => {
      const [, port] = (await listenersOf(name)).find(([variable]) => variable.endsWith('_OPS_LISTEN')) ?? [];
      return [name, name, port];
    });
    assert.deepEqual(asked.toSorted(), (await Promise.all(own)).toSorted());
  });

  test('nats-server grants each part what docs/operations.md says, and no more', () => {
    const section = /\n## Rights on NATS\n(.*?)\n## /s.exec(read('docs/operations.md'))?.[1] ?? '';
    const quoted = (text: string): string[] =>
      [...text.matchAll(/"([^"]+)"/g)].map(([, subject = '']) => subject);
    const [service = '', hooks = '', websub = ''] = [...section.matchAll(/```hcl\n(.*?)```/gs)].map(
      ([, b = '']) => b,
    );
    const [publish = '', subscribe = ''] = service.split('subscribe');
    const deleting = section.match(/(?<=`)"[^"`]+"(?=`)/g)?.flatMap(quoted) ?? [];
    const more: Readonly<Record<string, readonly string[]>> = {
      ...{ edges: [], publish: deleting, registry: quoted(hooks) },
      ...{ 'delivery-webhook': quoted(hooks), 'delivery-websub': quoted(websub) },
    };
    const users = read('deploy/nats/nats.conf').split('user: ').slice(1);
    assert.deepEqual(
      users.map((text) => text.split(',')[0]).toSorted(),
      ['migrate', ...Object.keys(more)].toSorted(),
    );
    for (const text of users) {
      const [name = ''] = text.split(',');
      if (name === 'migrate') continue;
      const [given = '', heard = ''] = text.split('subscribe');
      assert.deepEqual(
        quoted(given).toSorted(),
        [...quoted(publish), ...(more[name] ?? [])].toSorted(),
        name,
      );
      assert.deepEqual(quoted(heard).toSorted(), quoted(subscribe).toSorted(), name);
    }
  });
});
