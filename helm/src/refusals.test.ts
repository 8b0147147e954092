import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { findHelm } from './find-helm.ts';
import { refusal } from './testing-chart.ts';

let helm: string;
before(() => {
  helm = findHelm();
});

/** Wrong values and what is said of each. One call of Helm names them all. */
const wrong = {
  values: {
    drainSecond: 30,
    drainSeconds: 4_000,
    preStopSeconds: 0,
    listenHost: 'localhost',
    image: { pullPolicy: 'Sometimes', digest: 'sha256:abc' },
    nats: { url: 'http://nats:4222', ports: [70_000] },
    redis: { url: 'redis://:password@redis:6379' },
    env: {
      PUSHFLEET_LOG_LEVEL: 'loud',
      PUSHFLEET_LOG_LEVLE: 'info',
      PUSHFLEET_TOKEN_SECRET: 'in-clear',
      PUSHFLEET_DRAIN_SECONDS: 10,
      PUSHFLEET_EDGE_WEBSOCKET_DEFLATE: 'yes',
    },
    files: { PUSHFLEET_TOKEN_SECRET: { secret: 'a', configMap: 'b', key: 'c' }, PUSHFLEET_LOG_LEVEL: null },
    defaults: { replicas: -1, resources: { limits: { memory: '1GB' } } },
    services: {
      publish: { env: { PUSHFLEET_PUBLISH_OUTBOX_COUNT: 0, PUSHFLEET_EDGE_SSE_CONNECTIONS: 1 } },
      'edge-sse': { env: { PUSHFLEET_EDGE_SSE_CONNECTION_AGE_SECONDS: '4 hours' }, enabled: 'yes' },
      'edge-gopher': { enabled: true },
    },
    migrate: { env: { PUSHFLEET_STREAM_REPLICAS: 7 } },
    routes: { exclude: ['revocation'] },
    ingress: { hosts: ['https://push.example.com'] },
    serviceMonitor: { interval: 15 },
  },
  said: [
    /additional properties 'drainSecond' not allowed/,
    /\/drainSeconds': maximum/,
    /\/preStopSeconds': minimum/,
    /\/listenHost': 'localhost' does not match/,
    /\/image\/pullPolicy': value must be one of 'Always'/,
    /\/image\/digest': 'sha256:abc' does not match/,
    /\/nats\/url': 'http:\/\/nats:4222' does not match/,
    /\/nats\/ports\/0': maximum/,
    /\/redis\/url': /,
    /\/env\/PUSHFLEET_LOG_LEVEL': value must be one of 'trace'/,
    /\/env': additional properties .*'PUSHFLEET_LOG_LEVLE'/,
    /\/env': additional properties .*'PUSHFLEET_TOKEN_SECRET'/,
    /\/env': additional properties .*'PUSHFLEET_DRAIN_SECONDS'/,
    /\/env\/PUSHFLEET_EDGE_WEBSOCKET_DEFLATE': value must be one of true/,
    /\/files\/PUSHFLEET_TOKEN_SECRET': maxProperties/,
    /\/files': additional properties 'PUSHFLEET_LOG_LEVEL'/,
    /\/defaults\/replicas': minimum/,
    /\/defaults\/resources\/limits\/memory': '1GB' does not match/,
    /\/services\/publish\/env\/PUSHFLEET_PUBLISH_OUTBOX_COUNT': minimum/,
    /\/services\/publish\/env': additional properties 'PUSHFLEET_EDGE_SSE_CONNECTIONS'/,
    /\/services\/edge-sse\/env\/PUSHFLEET_EDGE_SSE_CONNECTION_AGE_SECONDS': '4 hours' does not match/,
    /\/services\/edge-sse\/enabled': got string, want boolean/,
    /\/services': additional properties 'edge-gopher'/,
    /\/migrate\/env\/PUSHFLEET_STREAM_REPLICAS': maximum/,
    /\/routes\/exclude\/0': value must be one of/,
    /\/ingress\/hosts\/0': 'https:\/\/push.example.com' does not match/,
    /\/serviceMonitor\/interval': got number, want string/,
  ],
};

const together: readonly (readonly [what: string, values: object, said: RegExp])[] = [
  [
    'WebSub without an address',
    { services: { 'delivery-websub': { enabled: true } } },
    /delivery-websub needs env.PUSHFLEET_PUBLIC_URL/,
  ],
  [
    'deliveries without a registry',
    { services: { registry: { enabled: false } } },
    /delivery-webhook needs the registry/,
  ],
  [
    'no key for tokens',
    { files: { PUSHFLEET_TOKEN_SECRET: null, PUSHFLEET_INTERNAL_SECRET: { secret: 'a', key: 'b' } } },
    /could check no token: give files.PUSHFLEET_TOKEN_SECRET/,
  ],
  [
    'no secret inside the fleet',
    { files: { PUSHFLEET_TOKEN_SECRET: null }, env: { PUSHFLEET_TOKEN_JWKS_URL: 'https://a.example/jwks' } },
    /could not prove itself to the registry/,
  ],
  [
    'a variable twice',
    {
      env: { PUSHFLEET_TOKEN_PUBLIC_KEY: 'a' },
      files: { PUSHFLEET_TOKEN_PUBLIC_KEY: { secret: 'a', key: 'b' } },
    },
    /PUSHFLEET_TOKEN_PUBLIC_KEY stands in env and in files/,
  ],
  ['a Gateway without a name', { gateway: { enabled: true } }, /gateway.parentRefs is empty/],
  [
    'gRPC without a host',
    { gateway: { parentRefs: [{ name: 'a' }], grpc: { enabled: true } } },
    /gateway.grpc.hostnames is empty/,
  ],
  [
    'fewer pods at most than at least',
    { defaults: { autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 4 } } },
    /autoscaling.minReplicas is 5, above maxReplicas, 4/,
  ],
  [
    'a budget by which no node is ever drained',
    { defaults: { podDisruptionBudget: { maxUnavailable: '0%' } } },
    /\/defaults\/podDisruptionBudget\/maxUnavailable': '0%' does not match/,
  ],
  [
    'an update by which no pod goes and none comes',
    { defaults: { strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } } },
    /maxSurge and maxUnavailable 0: no pod could ever be replaced/,
  ],
  [
    'labels that selectors go by',
    { commonLabels: { 'app.kubernetes.io/component': 'mine' } },
    /\/commonLabels\/app.kubernetes.io~1component'/,
  ],
  [
    'pods by nothing',
    { defaults: { autoscaling: { enabled: true, targetCPUUtilizationPercentage: null } } },
    /autoscaling has nothing to go by/,
  ],
  [
    'a password of NATS in clear',
    { nats: { url: 'nats://user:password@nats:4222' } },
    /\/nats\/url': .* does not match/,
  ],
  [
    'another time to drain, by extraEnv',
    { extraEnv: [{ name: 'PUSHFLEET_DRAIN_SECONDS', value: '600' }] },
    /PUSHFLEET_DRAIN_SECONDS stands in extraEnv, and is set already/,
  ],
  [
    'another listener than probes ask, by extraEnv of a service',
    { services: { publish: { extraEnv: [{ name: 'PUSHFLEET_PUBLISH_OPS_LISTEN', value: '0.0.0.0:1' }] } } },
    /publish: PUSHFLEET_PUBLISH_OPS_LISTEN stands in extraEnv, and is set already/,
  ],
  [
    "sessions of MQTT that are each pod's own, in several pods",
    {
      services: {
        registry: { enabled: false },
        'delivery-webhook': { enabled: false },
        'edge-mqtt': { enabled: true },
      },
    },
    /edge-mqtt keeps its sessions in one pod/,
  ],
];

suite('wrong values are refused before anything is installed', () => {
  test('each is named, and so is its rule', async () => {
    const text = await refusal(helm, wrong.values);
    for (const said of wrong.said) assert.match(text, said);
    assert.doesNotMatch(text, /in-clear/);
  });

  for (const [what, values, said] of together) {
    test(what, async () => assert.match(await refusal(helm, values), said));
  }
});
