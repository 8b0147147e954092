export { Admission, type Asking } from './admission.ts';
export { readBody } from './body.ts';
export * from './close-code.ts';
export * from './connections.ts';
export { Cors } from './cors.ts';
export { Credentials, type SameSite, type Visitor } from './credentials.ts';
export { detach, onDetached } from './detach.ts';
export { edgeFields, fleetFields, pageFields, presenceFields, sessionFields } from './fields.ts';
export { Listener } from './listener.ts';
export {
  type Fields,
  flag,
  invalid,
  missing,
  numberField,
  parseObject,
  textField,
} from './message-fields.ts';
export * from './outflow.ts';
export * from './presence.ts';
export * from './presence-request.ts';
export { notPresent } from './presence-rules.ts';
export * from './request.ts';
export { Runs } from './runs.ts';
export { Desk, type DeskOptions } from './sessions/desk.ts';
export * from './sessions/owned.ts';
export * from './sessions/sessions.ts';
export { Shell, type ShellGiven } from './shell.ts';
export * from './stream.ts';
export { declareWritten, Streams } from './streams.ts';
export * from './visit.ts';
export { type Footing, wireEdge } from './wiring.ts';
