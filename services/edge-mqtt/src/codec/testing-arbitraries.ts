import fc from 'fast-check';
import type { FilterName } from './names.ts';
import type { Message, Sending } from './outgoing-publish.ts';
import type { AckType, ClientPacket, Connect, Publish, Qos, ServerPacket, Subscription } from './packet.ts';
import { clientReasons, type Reason, reasons } from './reason.ts';
import type { Version } from './violation.ts';

// Every packet that is right, and no other.

/** A record whose prototype is that of the objects that the codec makes. */
const record = <T>(members: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(members, { noNullPrototype: true }) as fc.Arbitrary<T>;

export const version = fc.constantFrom<Version>(3, 4, 5);
const qos = fc.constantFrom<Qos>(0, 1, 2);
const u16 = fc.integer({ min: 0, max: 65_535 });
const positive16 = fc.integer({ min: 1, max: 65_535 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const positive32 = fc.integer({ min: 1, max: 0xffff_ffff });
const varint = fc.oneof(
  fc.integer({ min: 1, max: 268_435_455 }),
  fc.constantFrom(127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455),
);
const binary = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const unit = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'abcXYZ019 ._-$/é€😀\ufeff') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
);
const text = fc
  .array(unit, { maxLength: 12 })
  .map((units) => units.join(''))
  .filter((given) => given.isWellFormed() && !given.includes('\0'));
const name = text.filter((given) => !/[\p{Cc}\p{Noncharacter_Code_Point}]/u.test(given));
const level = name.map((given) => given.replace(/[+#/]/g, ''));
const topic = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((given) => given !== '');
const plainFilter = fc
  .tuple(
    fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '#', '/#'),
  )
  .map(([levels, end]) => (end === '#' ? '#' : levels.join('/') + end))
  .filter((given) => given !== '' && !given.startsWith('$share/'));
const share = level.filter((given) => given !== '');
const filterName: fc.Arbitrary<FilterName> = record({
  share: fc.option(share, { nil: undefined }),
  filter: plainFilter,
});

const pairs = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 3 });
const user = { userProperties: pairs };
type Members = Readonly<Record<string, unknown>>;
/** A record in which any member may be absent. */
const some = (members: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Members> =>
  fc.record(members, { requiredKeys: [], noNullPrototype: true }) as fc.Arbitrary<Members>;

const content = {
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: u32,
  contentType: text,
  responseTopic: topic,
  correlationData: binary,
  ...user,
};
const { messageExpiryInterval: _, ...common } = content;
const authentication = { authenticationMethod: text, authenticationData: binary };
const outcome = some({ reasonString: text, ...user });

const properties = {
  connect: some({
    sessionExpiryInterval: u32,
    receiveMaximum: positive16,
    maximumPacketSize: positive32,
    topicAliasMaximum: u16,
    requestResponseInformation: fc.boolean(),
    requestProblemInformation: fc.boolean(),
    ...authentication,
    ...user,
  }).map(({ authenticationData, ...rest }) =>
    rest.authenticationMethod === undefined || authenticationData === undefined
      ? rest
      : { ...rest, authenticationData },
  ),
  will: some({ willDelayInterval: u32, ...content }),
  connack: some({
    sessionExpiryInterval: u32,
    receiveMaximum: positive16,
    maximumQos: fc.constantFrom<0 | 1>(0, 1),
    retainAvailable: fc.boolean(),
    maximumPacketSize: positive32,
    assignedClientIdentifier: text,
    topicAliasMaximum: u16,
    reasonString: text,
    wildcardSubscriptionAvailable: fc.boolean(),
    subscriptionIdentifierAvailable: fc.boolean(),
    sharedSubscriptionAvailable: fc.boolean(),
    serverKeepAlive: u16,
    responseInformation: text,
    serverReference: text,
    ...authentication,
    ...user,
  }),
  publish: some({ topicAlias: positive16, ...content }),
  subscribe: some({ subscriptionIdentifier: varint, ...user }),
  unsubscribe: some(user),
  disconnect: some({ sessionExpiryInterval: u32, serverReference: text, reasonString: text, ...user }),
  serverDisconnect: some({ serverReference: text, reasonString: text, ...user }),
  auth: fc
    .tuple(text, some({ authenticationData: binary, reasonString: text, ...user }))
    .map(([authenticationMethod, rest]) => ({ authenticationMethod, ...rest })),
};

/** What a packet has in this version: properties are of MQTT 5. */
const of = (v: Version, arbitrary: fc.Arbitrary<Members>): fc.Arbitrary<Members> =>
  v === 5 ? arbitrary : fc.constant({});

const codes = (set: ReadonlySet<number>) => fc.constantFrom(...([...set] as Reason[]));

const connectOf = (v: Version): fc.Arbitrary<Connect> =>
  record({
    type: fc.constant('connect' as const),
    version: fc.constant(v),
    cleanStart: fc.boolean(),
    keepAlive: u16,
    clientId: name,
    will: fc.option(
      record({ topic, payload: binary, qos, retain: fc.boolean(), properties: of(v, properties.will) }),
      { nil: undefined },
    ),
    userName: fc.option(name, { nil: undefined }),
    password: fc.option(binary, { nil: undefined }),
    properties: of(v, properties.connect),
  })
    .filter(({ clientId, cleanStart }) => v === 5 || clientId !== '' || (v === 4 && cleanStart))
    .map((packet) => (v < 5 && packet.userName === undefined ? { ...packet, password: undefined } : packet));

const publishOf = (v: Version): fc.Arbitrary<Publish> =>
  record({
    type: fc.constant('publish' as const),
    dup: fc.boolean(),
    qos,
    retain: fc.boolean(),
    topic,
    byAlias: fc.boolean(),
    packetId: positive16,
    payload: binary,
    properties: of(v, properties.publish),
  }).map(
    ({ byAlias, topic: given, packetId, ...rest }) =>
      ({
        ...rest,
        dup: rest.dup && rest.qos > 0,
        packetId: rest.qos === 0 ? undefined : packetId,
        topic: byAlias && 'topicAlias' in rest.properties ? undefined : given,
      }) as Publish,
  );

const ackOf = (v: Version) =>
  fc.constantFrom<AckType>('puback', 'pubrec', 'pubrel', 'pubcomp').chain((type) =>
    record({
      type: fc.constant(type),
      packetId: positive16,
      reason: v === 5 ? codes(clientReasons[type]) : fc.constant<Reason>(reasons.success),
      properties: of(v, outcome),
    }),
  );

const subscriptionOf = (v: Version): fc.Arbitrary<Subscription> =>
  record({
    name: filterName,
    qos,
    noLocal: fc.boolean(),
    retainAsPublished: fc.boolean(),
    retainHandling: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
  }).map(({ name: given, ...options }) =>
    v === 5
      ? { ...given, ...options, noLocal: options.noLocal && given.share === undefined }
      : { ...given, qos: options.qos, noLocal: false, retainAsPublished: false, retainHandling: 0 },
  );

/** A packet that a client of this version sends after its CONNECT. */
function fromClient(v: Version): fc.Arbitrary<ClientPacket> {
  const always = [
    publishOf(v),
    ackOf(v),
    record({
      type: fc.constant('subscribe' as const),
      packetId: positive16,
      subscriptions: fc.array(subscriptionOf(v), { minLength: 1, maxLength: 4 }),
      properties: of(v, properties.subscribe),
    }),
    record({
      type: fc.constant('unsubscribe' as const),
      packetId: positive16,
      filters: fc.array(filterName, { minLength: 1, maxLength: 4 }),
      properties: of(v, properties.unsubscribe),
    }),
    fc.constant({ type: 'pingreq' as const }),
    record({
      type: fc.constant('disconnect' as const),
      reason: v === 5 ? codes(clientReasons.disconnect) : fc.constant<Reason>(reasons.success),
      properties: of(v, properties.disconnect),
    }),
  ] as const;
  const auth = record({
    type: fc.constant('auth' as const),
    reason: codes(clientReasons.auth),
    properties: properties.auth,
  });
  return (v === 5 ? fc.oneof(...always, auth) : fc.oneof(...always)) as fc.Arbitrary<ClientPacket>;
}

export interface Conversation {
  readonly version: Version;
  /** The first is a CONNECT. */
  readonly packets: readonly ClientPacket[];
}

/** All that a client sends on one connection. */
export const conversation: fc.Arbitrary<Conversation> = version.chain((v) =>
  fc
    .tuple(connectOf(v), fc.array(fromClient(v), { maxLength: 8 }))
    .map(([connect, rest]) => ({ version: v, packets: [connect, ...rest] })),
);

/** Tables 3-1, 3-8, 3-9, 3-10 and 3-11 of MQTT 5: what a server may say. */
const serverReasons = {
  connack: fc.constantFrom<Reason>(
    ...([0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c] as const),
    ...([0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f] as const),
  ),
  suback: fc.constantFrom<Reason>(
    ...([0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2] as const),
  ),
  unsuback: fc.constantFrom<Reason>(...([0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91] as const)),
  disconnect: fc.constantFrom<Reason>(
    ...([0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94] as const),
    ...([0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2] as const),
  ),
  auth: fc.constantFrom<Reason>(0x00, 0x18, 0x19),
};

const subackOf = (type: 'suback' | 'unsuback') =>
  record({
    type: fc.constant(type),
    packetId: positive16,
    reasons: fc.array(serverReasons[type], { minLength: 1, maxLength: 4 }),
    properties: outcome,
  });

/** A packet that a server sends to a client of MQTT 5, PUBLISH left out. */
export const fromServer = fc.oneof(
  record({
    type: fc.constant('connack' as const),
    sessionPresent: fc.boolean(),
    reason: serverReasons.connack,
    properties: properties.connack,
  }).map((packet) => ({ ...packet, sessionPresent: packet.sessionPresent && packet.reason === 0 })),
  ackOf(5),
  subackOf('suback'),
  subackOf('unsuback'),
  fc.constant({ type: 'pingresp' as const }),
  record({
    type: fc.constant('disconnect' as const),
    reason: serverReasons.disconnect,
    properties: properties.serverDisconnect,
  }),
  record({ type: fc.constant('auth' as const), reason: serverReasons.auth, properties: properties.auth }),
) as fc.Arbitrary<ServerPacket>;

export const message: fc.Arbitrary<Message> = record({
  topic,
  payload: fc.oneof(
    binary,
    fc.constantFrom(100, 127, 128, 16_370, 16_384).map((size) => Buffer.alloc(size, 'x')),
  ),
  properties: some(common),
}) as fc.Arbitrary<Message>;

export const sending: fc.Arbitrary<Sending> = record({
  qos,
  dup: fc.boolean(),
  retain: fc.boolean(),
  packetId: positive16,
  expiry: fc.option(u32, { nil: undefined }),
  subscriptionIds: fc.array(varint, { maxLength: 3 }),
  topicAlias: fc.oneof(fc.constant(0), positive16),
  aliasKnown: fc.boolean(),
}).map((given) => ({
  ...given,
  dup: given.dup && given.qos > 0,
  packetId: given.qos === 0 ? 0 : given.packetId,
  aliasKnown: given.aliasKnown && given.topicAlias > 0,
}));
