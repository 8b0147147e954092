/** MQTT 5 section 2.4: every reason code. Where a value has several names, that of the packets it is most in. */
export const reasons = {
  success: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reauthenticate: 0x19,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
  maximumConnectTime: 0xa0,
  subscriptionIdsNotSupported: 0xa1,
  wildcardSubscriptionsNotSupported: 0xa2,
} as const;

export type Reason = (typeof reasons)[keyof typeof reasons];

/** Whether the code says that what was asked for did not happen (section 2.4). */
export const isFailure = (reason: Reason): boolean => reason >= 0x80;

const set = (...codes: readonly Reason[]): ReadonlySet<number> => new Set(codes);

const publishCodes = set(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
const releaseCodes = set(0x00, 0x92);

/**
 * The codes that a client may send in each packet: Tables 3-4 to 3-7, and of Tables 3-10 and 3-11 the rows that
 * clients send. 0x10 is a server's, but brokers that bridge send it as clients too, and it asks for nothing.
 */
export const clientReasons = {
  puback: publishCodes,
  pubrec: publishCodes,
  pubrel: releaseCodes,
  pubcomp: releaseCodes,
  disconnect: set(
    ...([0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] as const),
  ),
  auth: set(0x18, 0x19),
} as const;

/**
 * The CONNACK return codes of MQTT 3.1.1 section 3.2.2.3. A code that is not here has no word in 3.1.1: the server
 * closes without one, as [MQTT-3.1.4-1] has it for a CONNECT that is wrong.
 */
const returnCodes: Partial<Record<Reason, number>> = {
  [reasons.success]: 0,
  [reasons.unsupportedProtocolVersion]: 1,
  [reasons.clientIdNotValid]: 2,
  [reasons.serverUnavailable]: 3,
  [reasons.serverBusy]: 3,
  [reasons.serverShuttingDown]: 3,
  [reasons.useAnotherServer]: 3,
  [reasons.serverMoved]: 3,
  [reasons.quotaExceeded]: 3,
  [reasons.connectionRateExceeded]: 3,
  [reasons.badUserNameOrPassword]: 4,
  [reasons.notAuthorized]: 5,
  [reasons.banned]: 5,
  [reasons.badAuthenticationMethod]: 5,
};

/** What 3.1 and 3.1.1 say instead of a CONNACK reason; undefined: nothing, the connection is closed. */
export const returnCode = (reason: Reason): number | undefined => returnCodes[reason];
