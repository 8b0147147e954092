import { edgeSuite } from '@pushfleet/contract/edge-suite';
import { EdgeFleet } from './edges.ts';
import { protocols } from './protocols/mod.ts';

edgeSuite(protocols, () => EdgeFleet.start(protocols));
