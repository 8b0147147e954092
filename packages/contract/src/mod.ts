export { type NatsCluster, type NatsServer, type StartNatsOptions, startNats } from './start-nats.ts';
export { type RedisServer, startRedis } from './start-redis.ts';
export { until } from './until.ts';
