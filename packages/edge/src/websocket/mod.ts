// What edges over WebSocket share; apart from the rest, since it brings `ws`.
export * from './frames.ts';
export { type Agreement, agree, type Deflate, Refusal } from './handshake.ts';
export { type Fault, FrameReader, type FrameTaker } from './reader.ts';
export { decline, isPage, misdirected, notUpgraded, refuse } from './refusal.ts';
