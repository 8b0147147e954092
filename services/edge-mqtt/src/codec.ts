export { Decoder } from './codec/decoder.ts';
export { encode, type Peer } from './codec/encode.ts';
export type { FilterName } from './codec/names.ts';
export { type Message, OutgoingPublish, type Sending } from './codec/outgoing-publish.ts';
export type {
  Ack,
  AckType,
  Auth,
  ClientPacket,
  Connack,
  Connect,
  Disconnect,
  Pingreq,
  Pingresp,
  Publish,
  Qos,
  ServerDisconnect,
  ServerPacket,
  Suback,
  Subscribe,
  Subscription,
  Unsubscribe,
  Will,
} from './codec/packet.ts';
export type { Place, Properties } from './codec/properties.ts';
export type { DecoderLimits } from './codec/reader.ts';
export { isFailure, type Reason, reasons } from './codec/reason.ts';
export { type Rule, type Version, Violation } from './codec/violation.ts';
