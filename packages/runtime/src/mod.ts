export { declareCertificateEnds } from './certificate-ends.ts';
export { type CertificateRule, certificateGrant, parseCertificateRules } from './certificate-grants.ts';
export { type Config, ConfigError, type Fields, readConfig, unknownVariables } from './config.ts';
export { connectionId, digestOfConnection } from './connection.ts';
export { Deliveries, type DeliveriesOptions } from './deliveries.ts';
export { type Address, type Field, field, type Source } from './field.ts';
export {
  createFleet,
  declareFleetMetrics,
  type Fleet,
  type FleetOptions,
  type Instance,
  type Usage,
} from './fleet.ts';
export { type Action, createGrant, type Grant, type GrantFacts, type Grants } from './grant.ts';
export { fillIn, parseGrants } from './grants.ts';
export * from './grpc-error.ts';
export { type Histogram, waitBuckets } from './histogram.ts';
export { byMethod, type Handler, refuseRequest, requireJson } from './http-request.ts';
export { arrivalTimes, HttpServer } from './http-server.ts';
export { declareHealing, declareHubMetrics } from './hub-metrics.ts';
export * from './hub-questions.ts';
export * from './internal.ts';
export type { Issuer } from './issuer.ts';
export { createLog, type Log, listening } from './log.ts';
export * from './metrics.ts';
export { pageAccess } from './page-access.ts';
export { afterwards, logPart, type Part, part } from './part.ts';
export * from './policies.ts';
export * from './presence-client.ts';
export * from './presence-policy.ts';
export * from './problem.ts';
export * from './quotas.ts';
export * from './rate.ts';
export * from './registry-client.ts';
export { declareRequests, type Requests } from './requests.ts';
export * from './revocations.ts';
export { type Route, readRoutes, routeFor } from './routes.ts';
export * from './service.ts';
export type { SessionCalls } from './session-calls.ts';
export { createSessionCalls } from './session-client.ts';
export * from './shared-fields.ts';
export { isLoopback, type TlsPair, tlsPair } from './tls-pair.ts';
export * from './tokens.ts';
export { decodeParameter, namedTopic, parseTarget, topicOf } from './topic-target.ts';
export { isTraceparent, type TraceHeaders } from './trace-context.ts';
export { createTraces, noTraces, type SpanOptions, type TraceSpan, type Traces } from './traces.ts';
export { refuseUnread } from './unread.ts';
export { version } from './version.ts';
export { watchStream } from './watch-stream.ts';
export { FileError, WatchedFile } from './watched-file.ts';
export { WatchedTls } from './watched-tls.ts';
export * from './wheel.ts';
