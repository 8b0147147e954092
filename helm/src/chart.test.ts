import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, suite, test } from 'node:test';
import { temporaryFolder } from '@pushfleet/contract';
import { readConfig } from '@pushfleet/runtime';
import { readRoutes } from '../../packages/runtime/src/routes.ts';
import { findHelm } from './find-helm.ts';
import { type Fields, factsOf, readMigrate, readServices, root } from './fleet.ts';
import { placeOf } from './schema.ts';
import {
  envOf,
  lint,
  type Manifest,
  named,
  ofKind,
  type PodSpec,
  pods,
  release,
  selects,
  templateSet,
  templateWith,
  valueSets,
} from './testing-chart.ts';
import { unknownFields, wrongTypes } from './testing-schemas.ts';

const component = ({ labels }: { readonly labels: Readonly<Record<string, string>> }): string =>
  labels['app.kubernetes.io/component'] ?? '';

/** What the files of a Secret hold, where not any text will do. */
const contents: Readonly<Record<string, string>> = {
  PUSHFLEET_SECRETS_KEYS: `k1:${Buffer.alloc(32).toString('base64')}`,
  PUSHFLEET_REDIS_URL: 'rediss+sentinel://:password@redis-0.redis,redis-1.redis/master',
};

let helm: string;
let services: ReadonlyMap<string, Fields>;
const sets = new Map<string, readonly Manifest[]>();
const all = (): readonly Manifest[] => [...sets.values()].flat();

before(async () => {
  helm = findHelm();
  services = await readServices();
  for (const set of valueSets) sets.set(set, await templateSet(helm, set));
});

/** Each set of values in a test of its own. */
function eachSet(what: string, check: (manifests: readonly Manifest[]) => void | Promise<void>): void {
  for (const set of valueSets) test(`${what}: ${set}`, () => check(sets.get(set) as readonly Manifest[]));
}

suite('Kubernetes takes what the chart makes', () => {
  for (const set of valueSets) {
    test(`helm lint --strict: ${set}`, async () => {
      assert.match(await lint(helm, set), /1 chart\(s\) linted, 0 chart\(s\) failed/);
    });
  }

  test('no manifest has a wrong type or an unknown field', async () => {
    assert.deepEqual(await wrongTypes(all()), []);
    assert.deepEqual(unknownFields(all()), []);
  });

  test('a wrong type and an unknown field would be found', async () => {
    const manifests = sets.get('default') as readonly Manifest[];
    const good = named(manifests, 'Deployment', `${release}-pushfleet-publish`);
    const { containers, ...rest } = good.spec.template.spec as PodSpec;
    const withPod = (spec: object): Manifest => ({
      ...good,
      spec: { ...good.spec, template: { ...good.spec.template, spec: { ...rest, containers, ...spec } } },
    });
    const misspelt = withPod({ enableServiceLink: false });
    const mistyped = withPod({ terminationGracePeriodSeconds: '30' });
    const types = await wrongTypes([good, mistyped]);
    assert.equal(types.length, 1);
    assert.match(types.join(), /^Deployment push-pushfleet-publish: .*integer/);
    const fields = unknownFields([good, misspelt, mistyped]);
    assert.equal(fields.length, 2);
    assert.match(
      fields.join('\n'),
      /^Deployment push-pushfleet-publish: .*enableServiceLink.*\n.*string.*number/,
    );
  });

  eachSet('names are unique and short enough', (manifests) => {
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.deepEqual(names, [...new Set(names)]);
    for (const { metadata } of manifests) assert.ok(metadata.name.length <= 63, metadata.name);
  });
});

suite('what is made', () => {
  const deployments = (set: string): readonly string[] =>
    ofKind(sets.get(set) as readonly Manifest[], 'Deployment').map(({ metadata }) => component(metadata));

  test('publish, registry, SSE, WebSocket and webhooks by default; every service there is where it is asked for', () => {
    const usual = ['delivery-webhook', 'edge-sse', 'edge-websocket', 'publish', 'registry'];
    assert.deepEqual(deployments('default'), usual);
    assert.deepEqual(deployments('minimal'), ['edge-sse', 'publish']);
    assert.deepEqual(deployments('everything'), [...services.keys()]);
  });

  test('alerts lead to their runbooks, where they are read', () => {
    interface Group {
      readonly rules: readonly { readonly annotations: { readonly runbook_url: string } }[];
    }
    const links = (set: string): readonly string[] =>
      ofKind(sets.get(set) as readonly Manifest[], 'PrometheusRule')
        .flatMap(({ spec }) => (spec as unknown as { readonly groups: readonly Group[] }).groups)
        .flatMap(({ rules }) => rules.map(({ annotations }) => annotations.runbook_url));
    const [given, usual] = [links('production'), links('everything')];
    assert.ok(usual.every((link) => link.startsWith('docs/operations.md#')));
    const base = 'https://git.example.com/pushfleet/blob/main/';
    assert.deepEqual(
      given,
      usual.map((link) => `${base}${link}`),
    );
  });

  test('every kind of object, once for each service or once', () => {
    const kinds = new Map<string, number>();
    for (const { kind } of sets.get('everything') as readonly Manifest[])
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const { size } = services;
    assert.equal(kinds.get('PodDisruptionBudget'), size);
    assert.equal(kinds.get('HorizontalPodAutoscaler'), size - 1, 'edge-longpoll has switched its own off');
    assert.equal(kinds.get('NetworkPolicy'), size + 1, 'one for migrate');
    for (const kind of ['Ingress', 'HTTPRoute', 'GRPCRoute', 'ServiceMonitor', 'Job', 'Pod'])
      assert.equal(kinds.get(kind), 1, kind);
  });

  test('an autoscaler alone decides on the number of pods', () => {
    const manifests = sets.get('everything') as readonly Manifest[];
    for (const { spec } of ofKind(manifests, 'HorizontalPodAutoscaler')) {
      assert.equal(named(manifests, 'Deployment', spec.scaleTargetRef.name).spec.replicas, undefined);
    }
    assert.equal(named(manifests, 'Deployment', 'push-edge-longpoll').spec.replicas, 4);
  });

  test('migrate and the test are hooks, which depend on nothing of the release', () => {
    for (const set of valueSets) {
      const manifests = sets.get(set) as readonly Manifest[];
      const hooks = manifests.filter(({ metadata }) => component(metadata) === 'migrate');
      for (const { metadata } of hooks)
        assert.equal(metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade');
      const [job] = ofKind(hooks, 'Job');
      assert.deepEqual(job?.spec.template.spec.containers[0].args, ['pushfleet', 'migrate']);
      assert.ok(named(hooks, 'ServiceAccount', job?.spec.template.spec.serviceAccountName));
      const [pod] = ofKind(manifests, 'Pod');
      assert.equal(pod?.metadata.annotations?.['helm.sh/hook'], 'test');
    }
  });
});

suite('pods', () => {
  eachSet('have no rights, no token and no injected variables', (manifests) => {
    for (const { name, spec } of pods(manifests)) {
      assert.equal(spec.enableServiceLinks, false, name);
      assert.equal(spec.automountServiceAccountToken, false, name);
      assert.partialDeepStrictEqual(spec.securityContext, {
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const { securityContext } of spec.containers) {
        assert.deepEqual(securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
    }
  });

  eachSet('have longer to stop than preStop and drain take', (manifests) => {
    for (const { metadata, spec } of ofKind(manifests, 'Deployment')) {
      const pod = spec.template.spec as PodSpec;
      const container = pod.containers[0] as unknown as {
        readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
      };
      const drain = Number(envOf({ spec: pod }).get('PUSHFLEET_DRAIN_SECONDS'));
      const { seconds } = container.lifecycle.preStop.sleep;
      assert.ok(seconds >= 1 && drain >= 0, metadata.name);
      assert.ok((pod.terminationGracePeriodSeconds as number) >= seconds + drain + 5, metadata.name);
    }
  });

  eachSet('are asked on the operations port', (manifests) => {
    for (const { spec } of ofKind(manifests, 'Deployment')) {
      const [container] = spec.template.spec.containers;
      assert.deepEqual(container.startupProbe.httpGet, { path: '/healthz', port: 'ops' });
      assert.deepEqual(container.livenessProbe.httpGet, { path: '/healthz', port: 'ops' });
      assert.deepEqual(container.readinessProbe.httpGet, { path: '/readyz', port: 'ops' });
    }
  });

  eachSet('listen on the ports of their configuration, and open those that are reached', (manifests) => {
    for (const pod of pods(ofKind(manifests, 'Deployment'))) {
      const service = component(pod);
      const env = envOf(pod);
      const open = new Map(pod.spec.containers[0]?.ports?.map((port) => [port.name, port.containerPort]));
      for (const [name, { variable, port }] of Object.entries(
        factsOf(service, services.get(service) as Fields).listeners,
      )) {
        const [, host, number] = /^(.*):(\d+)$/.exec(env.get(variable) ?? '') ?? [];
        assert.equal(Number(number), port, variable);
        assert.equal(open.get(name), host === '127.0.0.1' ? undefined : port, variable);
      }
    }
  });

  eachSet('are given variables that their service reads, each of them once', async (manifests) => {
    const migrate = await readMigrate();
    for (const pod of pods(manifests)) {
      if (component(pod) === 'test') continue;
      const facts = factsOf('', services.get(component(pod)) ?? migrate);
      const names = pod.spec.containers[0]?.env?.map(({ name }) => name) ?? [];
      const known = [...facts.variables, ...Object.values(facts.files)];
      assert.deepEqual(names, [...new Set(names)]);
      assert.deepEqual(
        names.filter((name) => name.startsWith('PUSHFLEET_') && !known.includes(name)),
        [],
      );
    }
  });

  eachSet('are given values that their service takes', async (manifests) => {
    const migrate = await readMigrate();
    const folder = temporaryFolder('helm-files');
    const inFolder = (path: string): string => {
      const file = join(folder, basename(path));
      writeFileSync(file, contents[basename(path)] ?? 'x'.repeat(48));
      return file;
    };
    for (const pod of pods(manifests)) {
      if (component(pod) === 'test') continue;
      const env = Array.from(envOf(pod), ([variable, value]) => [
        variable,
        value.startsWith('/etc/pushfleet/') ? inFolder(value) : value,
      ]);
      readConfig(services.get(component(pod)) ?? migrate, Object.fromEntries(env));
    }
  });

  eachSet('find the files that their variables name', (manifests) => {
    for (const { name, spec } of pods(manifests)) {
      const mounted = spec.volumes.flatMap(({ projected }) =>
        (projected?.sources ?? []).flatMap(({ secret, configMap }) =>
          (secret ?? configMap)?.items.map(({ path }) => `/etc/pushfleet/${path}`),
        ),
      );
      const wanted = [...envOf({ spec })]
        .filter(([variable]) => variable.endsWith('_FILE'))
        .map(([, path]) => path);
      assert.deepEqual(wanted.toSorted(), mounted.toSorted(), name);
      const mounts = spec.containers[0]?.volumeMounts?.map((mount) => mount.name) ?? [];
      for (const mount of mounts)
        assert.ok(
          spec.volumes.some((volume) => volume.name === mount),
          `${name} ${mount}`,
        );
    }
  });

  eachSet('are selected by their own Deployment alone, and spread among their like', (manifests) => {
    const found = pods(manifests);
    for (const { metadata, spec } of ofKind(manifests, 'Deployment')) {
      const chosen = found.filter(({ labels }) => selects(spec.selector.matchLabels, labels));
      assert.deepEqual(
        chosen.map(({ name }) => name),
        [metadata.name],
      );
      for (const { labelSelector } of spec.template.spec.topologySpreadConstraints ?? [])
        assert.deepEqual(labelSelector, spec.selector);
    }
    for (const kind of ['PodDisruptionBudget', 'NetworkPolicy'] as const) {
      for (const { metadata, spec } of ofKind(manifests, kind)) {
        const { matchLabels } = spec.selector ?? spec.podSelector;
        const chosen = found.filter(({ labels }) => selects(matchLabels, labels));
        assert.deepEqual(
          chosen.map(({ name }) => name),
          [metadata.name],
        );
      }
    }
  });
});

suite('addresses', () => {
  eachSet('every Service leads to ports of pods that are there', (manifests) => {
    for (const { metadata, spec } of ofKind(manifests, 'Service')) {
      const chosen = pods(ofKind(manifests, 'Deployment')).filter(({ labels }) =>
        selects(spec.selector, labels),
      );
      assert.ok(chosen.length > 0, metadata.name);
      for (const { port, targetPort } of spec.ports) {
        for (const { spec: pod } of chosen) {
          const at = pod.containers[0]?.ports?.find(({ name }) => name === targetPort)?.containerPort;
          assert.ok(at !== undefined, `${metadata.name} ${targetPort}`);
          if (targetPort !== 'ops') assert.equal(at, port, metadata.name);
        }
      }
      if (metadata.name.endsWith('-grpc')) assert.equal(spec.clusterIP, 'None');
    }
  });

  eachSet('the registry is found where the services are told', (manifests) => {
    for (const pod of pods(ofKind(manifests, 'Deployment'))) {
      const url = envOf(pod).get('PUSHFLEET_REGISTRY_URL');
      if (url === undefined) continue;
      const { hostname, port } = new URL(url);
      assert.equal(named(manifests, 'Service', hostname).spec.ports[0].port, Number(port));
    }
  });

  interface Path {
    readonly path: string;
    readonly type: string;
    readonly service: string;
    readonly port: number;
  }

  function ingressPaths(manifests: readonly Manifest[]): readonly (readonly Path[])[] {
    return ofKind(manifests, 'Ingress').flatMap(({ spec }) =>
      spec.rules.map((rule: { readonly http: { readonly paths: readonly Manifest['spec'][] } }) =>
        rule.http.paths.map(({ path, pathType, backend }) => {
          const { ports } = named(manifests, 'Service', backend.service.name).spec;
          const port = ports.find(
            ({ name }: { readonly name: string }) => name === backend.service.port.name,
          ).port;
          return { path, type: pathType, service: backend.service.name, port };
        }),
      ),
    );
  }

  function gatewayPaths(manifests: readonly Manifest[]): readonly (readonly Path[])[] {
    return ofKind(manifests, 'HTTPRoute').map(({ spec }) =>
      spec.rules.flatMap(({ matches, backendRefs: [backend] }: Manifest['spec']) =>
        matches.map(({ path }: Manifest['spec']) => ({
          path: path.value,
          type: path.type === 'PathPrefix' ? 'Prefix' : path.type,
          service: backend.name,
          port: backend.port,
        })),
      ),
    );
  }

  eachSet(
    'Ingress and HTTPRoute have the routes of the services that are there, and no others',
    (manifests) => {
      const there = ofKind(manifests, 'Deployment').map(({ metadata }) => component(metadata));
      const excluded = manifests === sets.get('production') ? ['revocations'] : [];
      const expected = readRoutes()
        .filter(({ service, name }) => there.includes(service) && !excluded.includes(name))
        .map(({ path, pathType, service, port }) => `${path} ${pathType} ${service} ${port}`);
      for (const paths of [...ingressPaths(manifests), ...gatewayPaths(manifests)]) {
        const found = paths.map(({ path, type, service, port }) => {
          const { labels } = named(manifests, 'Service', service).metadata;
          return `${path} ${type} ${component({ labels })} ${port}`;
        });
        assert.deepEqual(found.toSorted(), expected.toSorted());
      }
    },
  );

  test('both are made where they are asked for', () => {
    const counts = valueSets.map((set) => {
      const manifests = sets.get(set) as readonly Manifest[];
      return [ingressPaths(manifests).length, gatewayPaths(manifests).length];
    });
    assert.deepEqual(counts, [
      [0, 0],
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ]);
  });

  test('MQTT over TCP is reached as far as it is safe or was asked for', () => {
    const ports = (set: string): readonly string[] =>
      ofKind(sets.get(set) as readonly Manifest[], 'Service')
        .filter(({ metadata }) => metadata.name.endsWith('-edge-mqtt-tcp'))
        .flatMap(({ spec }) => spec.ports.map(({ port }: { readonly port: number }) => port));
    assert.deepEqual(ports('everything'), [1883, 8883]);
    assert.deepEqual(ports('production'), [8883]);
    assert.deepEqual(ports('gateway'), []);
  });

  eachSet('a NetworkPolicy lets in what a Service leads to, and the registry only its fleet', (manifests) => {
    for (const { metadata, spec } of ofKind(manifests, 'NetworkPolicy')) {
      const let_in = (spec.ingress ?? []).flatMap(({ ports = [] }: Manifest['spec']) =>
        ports.map(({ port }: { readonly port: string }) => port),
      );
      const open =
        pods(manifests).find(({ name }) => name === metadata.name)?.spec.containers[0]?.ports ?? [];
      assert.deepEqual(let_in.toSorted(), open.map(({ name }) => name).toSorted(), metadata.name);
    }
    const registry = ofKind(manifests, 'NetworkPolicy').find(
      ({ metadata }) => component(metadata) === 'registry',
    );
    const rule = registry?.spec.ingress.find(({ ports }: Manifest['spec']) => ports[0].port === 'grpc');
    if (rule !== undefined)
      assert.equal(rule.from[0].podSelector.matchLabels['app.kubernetes.io/instance'], release);
  });
});

suite('configuration', () => {
  test('every variable of every service is set by env, by files or by a value', () => {
    const schema = JSON.parse(readFileSync(join(root, 'helm/pushfleet/values.schema.json'), 'utf8'));
    for (const [service, fields] of services) {
      const { env, files } = schema.properties.services.properties[service].properties;
      for (const field of Object.values(fields)) {
        const place = placeOf(field);
        if (place === 'env') {
          assert.ok(field.env in env.properties && field.env in schema.properties.env.properties, field.env);
        } else if (place === 'files') {
          assert.ok(
            field.env in files.properties && field.env in schema.properties.files.properties,
            field.env,
          );
        } else {
          const pod = pods(sets.get('everything') as readonly Manifest[]).find(
            (found) => component(found) === service,
          );
          assert.ok(pod !== undefined && envOf(pod).has(field.env), `${service} ${field.env}`);
        }
      }
    }
  });

  test('every default of a variable fits the schema of it', () => {
    const { variables } = JSON.parse(
      readFileSync(join(root, 'helm/pushfleet/values.schema.json'), 'utf8'),
    ).$defs;
    for (const field of [...services.values()].flatMap((fields) => Object.values(fields))) {
      const { pattern, enum: choices } = variables[field.env] ?? {};
      if (field.fallback === undefined) continue;
      if (pattern !== undefined) assert.match(field.fallback, new RegExp(pattern), field.env);
      if (choices !== undefined) assert.ok(choices.includes(field.fallback), field.env);
    }
  });

  test('numbers arrive as they were written, and a service has what stands nearest to it', async () => {
    const manifests = await templateWith(helm, {
      env: {
        PUSHFLEET_LOG_LEVEL: 'warn',
        PUSHFLEET_WEBHOOK_QUEUE: 10_000_000,
        PUSHFLEET_TRACES_SAMPLE: 0.25,
      },
      services: {
        publish: { env: { PUSHFLEET_LOG_LEVEL: 'debug', PUSHFLEET_PUBLISH_OUTBOX_COUNT: 1_000_000_000_000 } },
        'edge-sse': { podDisruptionBudget: { enabled: false }, replicas: 0 },
      },
      defaults: { replicas: 7 },
    });
    const env = (name: string) => {
      const { spec } = named(manifests, 'Deployment', `push-pushfleet-${name}`);
      return envOf({ spec: spec.template.spec });
    };
    assert.equal(env('publish').get('PUSHFLEET_LOG_LEVEL'), 'debug');
    assert.equal(env('publish').get('PUSHFLEET_PUBLISH_OUTBOX_COUNT'), '1000000000000');
    assert.equal(env('publish').get('PUSHFLEET_TRACES_SAMPLE'), '0.25');
    assert.equal(env('publish').get('PUSHFLEET_WEBHOOK_QUEUE'), undefined);
    assert.equal(env('delivery-webhook').get('PUSHFLEET_WEBHOOK_QUEUE'), '10000000');
    assert.equal(env('edge-sse').get('PUSHFLEET_LOG_LEVEL'), 'warn');
    assert.equal(named(manifests, 'Deployment', 'push-pushfleet-publish').spec.replicas, 7);
    assert.equal(named(manifests, 'Deployment', 'push-pushfleet-edge-sse').spec.replicas, 0);
    const budgets = ofKind(manifests, 'PodDisruptionBudget').map(({ metadata }) => component(metadata));
    assert.ok(budgets.includes('publish') && !budgets.includes('edge-sse'));
  });

  test('a URL of NATS with a password comes from a Secret, for services and for migrate', async () => {
    const manifests = await templateWith(helm, {
      files: { PUSHFLEET_NATS_URL: { secret: 'nats', key: 'url' } },
      migrate: { files: { PUSHFLEET_NATS_URL: { secret: 'nats-migrate', key: 'url' } } },
    });
    for (const pod of pods(manifests).filter((found) => component(found) !== 'test')) {
      const env = envOf(pod);
      assert.equal(env.get('PUSHFLEET_NATS_URL_FILE'), '/etc/pushfleet/PUSHFLEET_NATS_URL', pod.name);
      assert.ok(!env.has('PUSHFLEET_NATS_URL'), pod.name);
      const secrets = pod.spec.volumes.flatMap(({ projected }) => projected?.sources ?? []);
      const expected = component(pod) === 'migrate' ? 'nats-migrate' : 'nats';
      assert.ok(
        secrets.some(({ secret }) => secret?.name === expected),
        pod.name,
      );
    }
  });

  test('where nobody is named, nobody reaches the operations ports', async () => {
    const manifests = await templateWith(helm, { networkPolicy: { operators: [] } });
    for (const { metadata, spec } of ofKind(manifests, 'NetworkPolicy')) {
      const ports = (spec.ingress ?? []).flatMap((rule: { ports: { port: unknown }[] }) => rule.ports);
      assert.ok(!ports.some(({ port }: { port: unknown }) => port === 'ops'), metadata.name);
    }
  });

  test('pods that are all replaced at once are not said to roll', async () => {
    const manifests = await templateWith(helm, { defaults: { strategy: { type: 'Recreate' } } });
    for (const { metadata, spec } of ofKind(manifests, 'Deployment'))
      assert.deepEqual(spec.strategy, { type: 'Recreate' }, metadata.name);
  });

  test('the version is that of the repository', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const [pod] = pods(sets.get('default') as readonly Manifest[]);
    assert.equal(pod?.spec.containers[0]?.image, `pushfleet:${version}`);
  });
});
