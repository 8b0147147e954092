export * from './call.ts';
export { createCaller } from './caller.ts';
export { createCheck } from './check.ts';
export { type OutboundConfig, outboundFields } from './config.ts';
