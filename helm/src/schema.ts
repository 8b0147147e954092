import type { Field } from '../../packages/runtime/src/field.ts';
import { readRoutes } from '../../packages/runtime/src/routes.ts';
import { type Fields, factsOf } from './fleet.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Variables that a value of the chart sets, so that two parts of it never disagree; with the value that does. */
const setByValues: Readonly<Record<string, string>> = {
  PUSHFLEET_DRAIN_SECONDS: 'drainSeconds',
  PUSHFLEET_NATS_URL: 'nats.url',
  PUSHFLEET_REDIS_URL: 'redis.url',
  PUSHFLEET_PUBLISH_GRPC_CLEARTEXT: 'services.publish.grpc.cleartext',
  PUSHFLEET_EDGE_MQTT_CLEARTEXT: 'services.edge-mqtt.mqtt',
};

/** Where an operator sets a variable. Listeners are the chart's own, but for `listenHost`. */
export function placeOf(field: Field<unknown>): 'env' | 'files' | 'values' {
  const { env, secret } = field;
  if (env in setByValues || env.endsWith('_LISTEN')) return 'values';
  return secret || env.endsWith('_FILE') ? 'files' : 'env';
}

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const list: Schema = { type: 'array' };
const objects: Schema = { type: 'array', items: { type: 'object' } };
const name: Schema = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$', maxLength: 253 };
const port: Schema = { type: 'integer', minimum: 1, maximum: 65_535 };
const ports: Schema = { type: 'array', items: port, minItems: 1 };
const host: Schema = {
  type: 'string',
  pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
};
const hosts: Schema = { type: 'array', items: host };
const time: Schema = { type: 'string', pattern: '^\\d+(ms|s|m|h)$' };
const numberOrPercent: Schema = { type: ['integer', 'string'], pattern: '^\\d+%$', minimum: 0 };
/** A budget of nothing would keep every node from being drained. */
const someOrPercent: Schema = { type: ['integer', 'string'], pattern: '^0*[1-9]\\d*%$', minimum: 1 };
const texts: Schema = { type: 'object', additionalProperties: { type: ['string', 'null'] } };
/** Those that the chart sets itself are what its selectors go by. */
const labels: Schema = {
  ...texts,
  patternProperties: { '^(app\\.kubernetes\\.io|helm\\.sh)/': { not: {} } },
};
const anyObject: Schema = { type: 'object' };
const serviceType: Schema = { enum: ['ClusterIP', 'LoadBalancer', 'NodePort'] };
const orNull = (schema: Schema): Schema => ({ ...schema, type: [schema.type, 'null'].flat() });

function whole(minimum: number, maximum?: number): Schema {
  return { type: 'integer', minimum, ...(maximum !== undefined && { maximum }) };
}

/** An object that has these properties and no others: a name that is misspelt is refused. */
function closed(properties: Readonly<Record<string, Schema>>, more: Schema = {}): Schema {
  return { type: 'object', additionalProperties: false, properties, ...more };
}

/** A rule of the declarations as far as JSON Schema can say it; what remains the service itself refuses. */
function valueSchema({ rule, doc }: Field<unknown>): Schema {
  const said = { description: `${doc} Value: ${rule}.` };
  const choice = /^one of (.*)$/.exec(rule)?.[1]?.split(', ');
  if (choice !== undefined) return { ...said, enum: [...choice, null] };
  if (rule === '"true" or "false"') return { ...said, enum: [true, false, 'true', 'false', null] };
  if (rule.startsWith('a whole number')) return { ...said, ...wholeNumber(rule) };
  if (rule.startsWith('seconds,')) return { ...said, ...quantity('ms|s|m|h|d') };
  if (rule.startsWith('bytes,')) return { ...said, ...quantity('B|KiB|MiB|GiB') };
  const schemes = [...rule.matchAll(/([a-z]+):\/\//g)].map(([, scheme]) => scheme);
  if (rule.startsWith('a URL that begins') && schemes.length > 0)
    return { ...said, type: ['string', 'null'], pattern: `^(${schemes.join('|')})://` };
  return { ...said, type: ['string', 'number', 'boolean', 'null'] };
}

function wholeNumber(rule: string): Schema {
  const [, from] = /(?:from|at least) (-?\d+)/.exec(rule) ?? [];
  const [, to] = /(?:to|at most) (\d+)/.exec(rule) ?? [];
  return {
    type: ['integer', 'string', 'null'],
    pattern: '^-?\\d+$',
    ...(from !== undefined && { minimum: Number(from) }),
    ...(to !== undefined && { maximum: Number(to) }),
  };
}

const quantity = (units: string): Schema => ({
  type: ['number', 'string', 'null'],
  pattern: `^\\d+(\\.\\d+)?(${units})?$`,
  minimum: 0,
});

const otherVariables: Schema = {
  '^(OTEL|NODE)_[A-Z0-9_]+$': { type: ['string', 'number', 'boolean', 'null'] },
};

function envSchema(fields: readonly Field<unknown>[]): Schema {
  const settable = fields.filter((field) => placeOf(field) === 'env');
  const properties = settable.map(
    (field) => [field.env, { $ref: `#/$defs/variables/${field.env}` }] as const,
  );
  return closed(Object.fromEntries(properties.sort()), { patternProperties: otherVariables });
}

function filesSchema(fields: Fields): Schema {
  const names = Object.keys(factsOf('', fields).files).sort();
  return closed(Object.fromEntries(names.map((variable) => [variable, { $ref: '#/$defs/source' }])));
}

const source: Schema = {
  description: 'A key of a Secret or of a ConfigMap.',
  ...orNull(closed({ secret: name, configMap: name, key: { type: 'string', pattern: '^[-._a-zA-Z0-9]+$' } })),
  required: ['key'],
  minProperties: 2,
  maxProperties: 2,
};

const amount: Schema = {
  type: ['string', 'number'],
  pattern: '^\\d+(\\.\\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$',
  minimum: 0,
};
const amounts: Schema = { type: 'object', additionalProperties: amount };
const resources = closed({ requests: amounts, limits: amounts, claims: list });

/** What each service may say for itself, and `defaults` for all. */
const common = {
  replicas: whole(0, 1_000),
  resources,
  autoscaling: closed({
    enabled: flag,
    minReplicas: whole(1, 1_000),
    maxReplicas: whole(1, 1_000),
    targetCPUUtilizationPercentage: orNull(whole(1, 1_000)),
    targetMemoryUtilizationPercentage: orNull(whole(1, 1_000)),
    metrics: objects,
    behavior: anyObject,
  }),
  podDisruptionBudget: closed({ enabled: flag, maxUnavailable: someOrPercent }),
  topologySpread: {
    type: 'array',
    items: closed(
      {
        topologyKey: text,
        maxSkew: whole(1),
        whenUnsatisfiable: { enum: ['ScheduleAnyway', 'DoNotSchedule'] },
        minDomains: whole(1),
      },
      { required: ['topologyKey', 'maxSkew', 'whenUnsatisfiable'] },
    ),
  },
  strategy: closed({
    type: { enum: ['RollingUpdate', 'Recreate'] },
    rollingUpdate: orNull(closed({ maxSurge: numberOrPercent, maxUnavailable: numberOrPercent })),
  }),
  minReadySeconds: whole(0, 3_600),
  podAnnotations: texts,
  podLabels: labels,
  nodeSelector: texts,
  tolerations: objects,
  affinity: anyObject,
  priorityClassName: text,
  extraVolumes: objects,
  extraVolumeMounts: objects,
  service: closed({ type: serviceType, annotations: texts }),
};

const own: Readonly<Record<string, Readonly<Record<string, Schema>>>> = {
  publish: { grpc: closed({ cleartext: flag }) },
  'edge-mqtt': {
    mqtt: closed({ cleartext: flag, websocket: flag }),
    tcpService: closed({
      type: serviceType,
      annotations: texts,
      externalTrafficPolicy: { enum: ['Local', 'Cluster'] },
      loadBalancerSourceRanges: {
        type: 'array',
        items: { type: 'string', pattern: '^[0-9a-fA-F.:]+/\\d{1,3}$' },
      },
    }),
  },
};

function serviceSchema(service: string, fields: Fields): Schema {
  return closed({
    ...common,
    ...own[service],
    enabled: flag,
    env: envSchema(Object.values(fields)),
    files: filesSchema(fields),
    extraEnv: objects,
  });
}

const destination = closed({ to: objects, ports });

/** The whole of values.schema.json. */
export function valuesSchema(services: ReadonlyMap<string, Fields>, migrate: Fields): Schema {
  const every = new Map(
    [...services.values()].flatMap((fields) => Object.values(fields).map((f) => [f.env, f])),
  );
  const all = [...every.values()];
  const allFields = Object.fromEntries(all.map((field) => [field.env, field]));
  const documented = [...all, ...Object.values(migrate)].filter((field) => placeOf(field) === 'env');
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart pushfleet',
    description: 'Written by helm/src/generate.ts; change that.',
    $defs: {
      source,
      variables: Object.fromEntries(documented.map((field) => [field.env, valueSchema(field)]).sort()),
    },
    ...closed({
      global: anyObject,
      nameOverride: text,
      fullnameOverride: text,
      image: closed({
        repository: { type: 'string', minLength: 1 },
        tag: text,
        digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
      }),
      imagePullSecrets: { type: 'array', items: closed({ name }, { required: ['name'] }) },
      // A password would lie in the release and in the pod's description: the URL belongs in a Secret then.
      nats: closed({ url: { type: 'string', pattern: '^(nats|tls|ws|wss)://[^,/@][^@]*$' }, ports }),
      redis: closed({
        url: { type: 'string', pattern: '^rediss?(\\+(sentinel|cluster))?://[^@]+$' },
        ports,
      }),
      env: envSchema(all),
      files: filesSchema(allFields),
      extraEnv: objects,
      listenHost: { type: 'string', pattern: '^(\\d+(\\.\\d+){3}|\\[[0-9a-fA-F:]+\\])$' },
      drainSeconds: whole(0, 3_600),
      preStopSeconds: whole(1, 600),
      stopMarginSeconds: whole(5, 600),
      serviceAccount: closed({ create: flag, name: text, annotations: texts }),
      defaults: closed(common),
      services: closed(
        Object.fromEntries(
          [...services].map(([service, fields]) => [service, serviceSchema(service, fields)]),
        ),
      ),
      migrate: closed({
        enabled: flag,
        env: envSchema(Object.values(migrate)),
        files: filesSchema(migrate),
        activeDeadlineSeconds: whole(10, 3_600),
        backoffLimit: whole(0, 100),
        resources,
      }),
      routes: closed({
        exclude: { type: 'array', items: { enum: readRoutes().map((route) => route.name) } },
      }),
      ingress: closed({
        enabled: flag,
        className: text,
        annotations: texts,
        hosts,
        tls: { type: 'array', items: closed({ secretName: name, hosts }) },
      }),
      gateway: closed({
        enabled: flag,
        parentRefs: { type: 'array', items: { type: 'object', required: ['name'] } },
        hostnames: hosts,
        annotations: texts,
        grpc: closed({ enabled: flag, hostnames: hosts }),
      }),
      networkPolicy: closed({
        enabled: flag,
        clients: closed({ http: objects, grpc: objects, mqtt: objects }),
        operators: objects,
        nats: objects,
        redis: objects,
        issuers: destination,
        receivers: destination,
        traces: destination,
        extraIngress: objects,
        extraEgress: objects,
      }),
      serviceMonitor: closed({ enabled: flag, labels: texts, interval: time, scrapeTimeout: time }),
      prometheusRule: closed({
        enabled: flag,
        labels: texts,
        runbooks: { type: 'string', pattern: '^(https?://\\S+/)?$' },
      }),
      dashboards: closed({ enabled: flag, labels: texts, annotations: texts }),
      test: closed({ enabled: flag, token: closed({ secret: name, key: text }) }),
      podSecurityContext: anyObject,
      securityContext: anyObject,
      commonLabels: labels,
    }),
  };
}
