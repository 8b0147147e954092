import type { Way } from './way.ts';
import { grpcWays } from './ways-grpc.ts';
import { httpWays } from './ways-http.ts';
import { mqttWays } from './ways-mqtt.ts';
import { socketWays } from './ways-socket.ts';

/** Every way into the fleet that asks who comes. */
export const ways: readonly Way[] = [...httpWays, ...socketWays, ...mqttWays, ...grpcWays];
