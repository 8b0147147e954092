export { findMirror, unpackPackages } from './debian.ts';
export { type FindOptions, findServer } from './find.ts';
export { findNatsServer } from './nats.ts';
export { freePort, isFree, withFreePorts } from './port.ts';
export { findRedisServer } from './redis.ts';
export { type NatsInstance, type NatsOptions, runNats } from './run-nats.ts';
export { type RedisInstance, runRedis } from './run-redis.ts';
export { runService, type ServiceInstance, type ServiceOptions, serviceReady } from './run-service.ts';
