import type { EdgeProtocol } from '@pushfleet/contract/edge-suite';
import { bayeux } from './bayeux.ts';
import { cometFrame, cometStream } from './comet.ts';
import { grpc } from './grpc.ts';
import { longPoll } from './long-poll.ts';
import { mqtt } from './mqtt.ts';
import { sse } from './sse.ts';
import { websocket } from './websocket.ts';

/** A client of every protocol that the fleet speaks to those who connect. */
export const protocols: readonly EdgeProtocol[] = [
  sse,
  websocket,
  longPoll,
  cometStream,
  cometFrame,
  bayeux,
  mqtt,
  grpc,
];
