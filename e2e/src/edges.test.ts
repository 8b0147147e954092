import { edgeSuite } from '@pushfleet/contract/edge-suite';
import { EdgeFleet } from './edges.ts';
import { cometFrame, cometStream } from './protocols/comet.ts';
import { grpc } from './protocols/grpc.ts';
import { longPoll } from './protocols/long-poll.ts';
import { sse } from './protocols/sse.ts';
import { websocket } from './protocols/websocket.ts';

const protocols = [sse, websocket, longPoll, cometStream, cometFrame, grpc];

edgeSuite(protocols, () => EdgeFleet.start(protocols));
