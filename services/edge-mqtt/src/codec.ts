export { Decoder } from './codec/decoder.ts';
export { encode, type Peer } from './codec/encode.ts';
export { OutgoingPublish, type Sending } from './codec/outgoing-publish.ts';
export type {
  Ack,
  ClientPacket,
  Connack,
  Connect,
  Disconnect,
  Publish,
  Qos,
  ServerPacket,
  Suback,
  Subscribe,
  Subscription,
  Unsubscribe,
  Will,
} from './codec/packet.ts';
export type { Properties } from './codec/properties.ts';
export type { DecoderLimits } from './codec/reader.ts';
export { isFailure, type Reason, reasons } from './codec/reason.ts';
export { type Version, Violation } from './codec/violation.ts';
