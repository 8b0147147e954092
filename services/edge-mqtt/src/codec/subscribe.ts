import type { FilterName } from './names.ts';
import type { Qos, Subscribe, Subscription, Unsubscribe } from './packet.ts';
import { noProperties, readProperties } from './properties.ts';
import type { DecoderLimits, Reader } from './reader.ts';

/** A SUBSCRIBE without its fixed header. */
export function readSubscribe(reader: Reader, limits: DecoderLimits): Subscribe {
  const packetId = reader.packetId();
  const properties =
    reader.version === 5 ? readProperties(reader, 'subscribe', limits.userProperties) : noProperties;
  const subscriptions = readList(reader, limits.filters, () => readOptions(reader, reader.filter()));
  if (subscriptions.length === 0) reader.refuse('subscribe_empty');
  return { type: 'subscribe', packetId, subscriptions, properties };
}

/** An UNSUBSCRIBE without its fixed header. */
export function readUnsubscribe(reader: Reader, limits: DecoderLimits): Unsubscribe {
  const packetId = reader.packetId();
  const properties =
    reader.version === 5 ? readProperties(reader, 'unsubscribe', limits.userProperties) : noProperties;
  const filters = readList(reader, limits.filters, () => reader.filter());
  if (filters.length === 0) reader.refuse('unsubscribe_empty');
  return { type: 'unsubscribe', packetId, filters, properties };
}

/** As many as there are up to the end of the packet. */
function readList<T>(reader: Reader, most: number, read: () => T): readonly T[] {
  const list: T[] = [];
  while (reader.left > 0) {
    if (list.length === most) reader.refuse('too_many');
    list.push(read());
  }
  return list;
}

/** Section 3.8.3.1. Before MQTT 5 the QoS is all there is, and the other bits are reserved. */
function readOptions(reader: Reader, name: FilterName): Subscription {
  const options = reader.u8();
  const qos = options & 0x03;
  const noLocal = (options & 0x04) !== 0;
  const retainHandling = (options >> 4) & 0x03;
  if ((options & (reader.version === 5 ? 0xc0 : 0xfc)) !== 0) reader.refuse('options_reserved');
  if (qos === 3) reader.refuse('options_qos_3');
  if (retainHandling === 3) reader.refuse('retain_handling_3');
  if (noLocal && name.share !== undefined) reader.refuse('no_local_shared');
  return {
    ...name,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  };
}
