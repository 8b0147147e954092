export { freePort } from '@pushfleet/cli/servers';
export { Authority, type TestCertificate, withoutOpenssl } from './certificates.ts';
export { temporaryFolder } from './cleanup.ts';
export { findMosquitto, findMosquittoClients, type MosquittoClients } from './find-mosquitto.ts';
export { findPahoPython } from './find-paho.ts';
export { type CollectedSpan, type Collector, startCollector } from './start-collector.ts';
export { type NatsCluster, type NatsServer, type StartNatsOptions, startNats } from './start-nats.ts';
export {
  type PrometheusServer,
  promtool,
  startPrometheus,
} from './start-prometheus.ts';
export { type RedisServer, startRedis } from './start-redis.ts';
export { type SentinelRedis, startSentinel } from './start-sentinel.ts';
export { type Servers, type StartServersOptions, startServers } from './start-servers.ts';
export { type ServiceProcess, type StartServiceOptions, startService } from './start-service.ts';
export { until } from './until.ts';
