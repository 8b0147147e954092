import { type Reason, reasons } from './reason.ts';

/** The protocol level of a CONNECT: 3 is MQTT 3.1, 4 is 3.1.1. */
export type Version = 3 | 4 | 5;

interface RuleText {
  readonly reason: Reason;
  /** The clause of MQTT 5, and of 3.1.1 where that has the rule too. */
  readonly v5: string;
  readonly v3: string;
  readonly says: string;
}

const rule = (reason: Reason, v5: string, v3: string, says: string): RuleText => ({ reason, v5, v3, says });

const { malformedPacket, protocolError } = reasons;

/**
 * Every rule that the decoder holds a client to. Section 1.2 draws the line that is followed where a clause names no
 * code: what cannot be parsed is malformed, what was parsed and is not allowed is a protocol error.
 */
const table = {
  // Representation
  truncated: rule(
    malformedPacket,
    'section 1.2',
    'section 4.8',
    'A field goes on behind the end of its packet or of its properties.',
  ),
  trailing: rule(
    malformedPacket,
    'section 1.2',
    'section 4.8',
    'There are bytes behind the last field of the packet.',
  ),
  integer_long: rule(
    malformedPacket,
    'section 1.5.5',
    'section 2.2.3',
    'A variable byte integer has at most four bytes.',
  ),
  integer_padded: rule(
    malformedPacket,
    '[MQTT-1.5.5-1]',
    '[MQTT-1.5.5-1]',
    'A variable byte integer takes as few bytes as its value needs.',
  ),
  text_encoding: rule(
    malformedPacket,
    '[MQTT-1.5.4-1]',
    '[MQTT-1.5.3-1]',
    'A string is well-formed UTF-8 without surrogates.',
  ),
  text_nul: rule(malformedPacket, '[MQTT-1.5.4-2]', '[MQTT-1.5.3-2]', 'A string holds no U+0000.'),
  text_control: rule(
    malformedPacket,
    'section 1.5.4',
    'section 1.5.3',
    'A name holds no control character and no non-character.',
  ),
  // Fixed header
  packet_large: rule(
    reasons.packetTooLarge,
    '[MQTT-3.2.2-15]',
    'section 2.2.3',
    'The packet is larger than this server takes.',
  ),
  packet_first: rule(protocolError, '[MQTT-3.1.0-1]', '[MQTT-3.1.0-1]', 'The first packet is a CONNECT.'),
  packet_second: rule(
    protocolError,
    '[MQTT-3.1.0-2]',
    '[MQTT-3.1.0-2]',
    'There is one CONNECT on a connection.',
  ),
  type_reserved: rule(malformedPacket, 'section 2.1.2', 'section 2.2.1', 'The packet type is reserved.'),
  type_direction: rule(
    protocolError,
    'section 2.1.2',
    'section 2.2.1',
    'Only a server sends a packet of this type.',
  ),
  flags: rule(
    malformedPacket,
    '[MQTT-2.1.3-1]',
    '[MQTT-2.2.2-2]',
    'The flags of the fixed header are reserved and have another value.',
  ),
  qos_3: rule(malformedPacket, '[MQTT-3.3.1-4]', '[MQTT-3.3.1-4]', 'A PUBLISH has QoS 0, 1 or 2.'),
  dup_qos_0: rule(
    malformedPacket,
    '[MQTT-3.3.1-2]',
    '[MQTT-3.3.1-2]',
    'A PUBLISH of QoS 0 is never a duplicate.',
  ),
  packet_id: rule(protocolError, '[MQTT-2.2.1-3]', '[MQTT-2.3.1-1]', 'A packet identifier is not 0.'),
  // CONNECT
  protocol_name: rule(
    reasons.unsupportedProtocolVersion,
    '[MQTT-3.1.2-1]',
    '[MQTT-3.1.2-1]',
    'The protocol is "MQTT", or "MQIsdp" of 3.1.',
  ),
  protocol_version: rule(
    reasons.unsupportedProtocolVersion,
    '[MQTT-3.1.2-2]',
    '[MQTT-3.1.2-2]',
    'The protocol version is 3.1, 3.1.1 or 5.',
  ),
  connect_reserved: rule(
    malformedPacket,
    '[MQTT-3.1.2-3]',
    '[MQTT-3.1.2-3]',
    'The lowest connect flag is 0.',
  ),
  will_qos_alone: rule(
    malformedPacket,
    '[MQTT-3.1.2-11]',
    '[MQTT-3.1.2-13]',
    'Without a will, its QoS is 0.',
  ),
  will_qos_3: rule(malformedPacket, '[MQTT-3.1.2-12]', '[MQTT-3.1.2-14]', 'A will has QoS 0, 1 or 2.'),
  will_retain_alone: rule(
    malformedPacket,
    '[MQTT-3.1.2-13]',
    '[MQTT-3.1.2-15]',
    'Without a will, it is not retained.',
  ),
  password_alone: rule(
    malformedPacket,
    'section 3.1.2.9',
    '[MQTT-3.1.2-22]',
    'Before MQTT 5 a password comes with a user name.',
  ),
  client_id_empty: rule(
    reasons.clientIdNotValid,
    'section 3.1.3.1',
    '[MQTT-3.1.3-8]',
    'A session that is kept has a client identifier.',
  ),
  client_id_text: rule(
    reasons.clientIdNotValid,
    'section 3.1.3.1',
    '',
    'A client identifier is well-formed UTF-8 without control characters and non-characters.',
  ),
  auth_data_alone: rule(
    protocolError,
    'section 3.1.2.11.10',
    '',
    'Authentication data come with their method.',
  ),
  // Properties
  property_unknown: rule(malformedPacket, 'section 2.2.2.2', '', 'MQTT has no such property.'),
  // That section says 0x81; Mosquitto and its sequences say 0x82.
  property_misplaced: rule(protocolError, 'section 2.2.2.2', '', 'This packet has no such property.'),
  property_repeated: rule(protocolError, 'section 2.2.2.2', '', 'The property stands once in a packet.'),
  property_value: rule(
    protocolError,
    'section 2.2.2.2',
    '',
    'The property has a value that it must not have.',
  ),
  too_many: rule(
    reasons.quotaExceeded,
    'section 4.13.2',
    'section 4.8',
    'The packet lists more than this server takes.',
  ),
  // PUBLISH
  topic_absent: rule(
    protocolError,
    'section 3.3.2.1',
    '[MQTT-4.7.3-1]',
    'A PUBLISH names its topic or a topic alias.',
  ),
  topic_alias_0: rule(reasons.topicAliasInvalid, '[MQTT-3.3.2-8]', '', 'A topic alias is not 0.'),
  subscription_id_sent: rule(
    protocolError,
    '[MQTT-3.3.4-6]',
    '',
    'A client sends no subscription identifier in a PUBLISH.',
  ),
  // Names
  name_empty: rule(
    malformedPacket,
    '[MQTT-4.7.3-1]',
    '[MQTT-4.7.3-1]',
    'A topic name and a topic filter have at least one character.',
  ),
  name_wildcard: rule(
    malformedPacket,
    '[MQTT-4.7.0-1]',
    '[MQTT-4.7.1-1]',
    'A topic name holds no "+" and no "#".',
  ),
  filter_hash: rule(
    malformedPacket,
    '[MQTT-4.7.1-1]',
    '[MQTT-4.7.1-2]',
    '"#" stands alone in the last level of a topic filter.',
  ),
  filter_plus: rule(
    malformedPacket,
    '[MQTT-4.7.1-2]',
    '[MQTT-4.7.1-3]',
    '"+" stands for one whole level of a topic filter.',
  ),
  share_name: rule(
    malformedPacket,
    '[MQTT-4.8.2-2]',
    'section 4.7.2',
    '"$share/" is followed by a name without "+" and "#", a "/" and a topic filter.',
  ),
  // SUBSCRIBE, UNSUBSCRIBE
  subscribe_empty: rule(
    protocolError,
    '[MQTT-3.8.3-2]',
    '[MQTT-3.8.3-3]',
    'A SUBSCRIBE has at least one topic filter.',
  ),
  unsubscribe_empty: rule(
    protocolError,
    '[MQTT-3.10.3-2]',
    '[MQTT-3.10.3-2]',
    'An UNSUBSCRIBE has at least one topic filter.',
  ),
  options_reserved: rule(
    malformedPacket,
    '[MQTT-3.8.3-5]',
    '[MQTT-3.8.3-4]',
    'The reserved bits of subscription options are 0.',
  ),
  options_qos_3: rule(
    protocolError,
    'section 3.8.3.1',
    '[MQTT-3.8.3-4]',
    'A subscription asks for QoS 0, 1 or 2.',
  ),
  retain_handling_3: rule(protocolError, 'section 3.8.3.1', '', 'Retain Handling is 0, 1 or 2.'),
  no_local_shared: rule(
    protocolError,
    '[MQTT-3.8.3-4]',
    '',
    'A shared subscription does not ask for No Local.',
  ),
  // Acknowledgements, DISCONNECT, AUTH
  reason_puback: rule(protocolError, '[MQTT-3.4.2-1]', '', 'A client sends no such reason code in a PUBACK.'),
  reason_pubrec: rule(protocolError, '[MQTT-3.5.2-1]', '', 'A client sends no such reason code in a PUBREC.'),
  reason_pubrel: rule(protocolError, '[MQTT-3.6.2-1]', '', 'A client sends no such reason code in a PUBREL.'),
  reason_pubcomp: rule(
    protocolError,
    '[MQTT-3.7.2-1]',
    '',
    'A client sends no such reason code in a PUBCOMP.',
  ),
  reason_disconnect: rule(
    protocolError,
    '[MQTT-3.14.2-1]',
    '',
    'A client sends no such reason code in a DISCONNECT.',
  ),
  reason_auth: rule(protocolError, '[MQTT-3.15.2-1]', '', 'A client sends no such reason code in an AUTH.'),
  auth_method_absent: rule(
    protocolError,
    'section 3.15.2.2.2',
    '',
    'An AUTH names its authentication method.',
  ),
} as const satisfies Record<string, RuleText>;

export type Rule = keyof typeof table;

/** The names of all rules. */
export const rules = Object.keys(table) as readonly Rule[];

/** The property that a rule about properties was broken by. */
export interface PropertyAt {
  readonly name: string;
  readonly section: string;
}

/**
 * What a client sent breaks a rule of MQTT. The connection cannot go on: [MQTT-4.13.1-1], and [MQTT-4.8.0-1] of 3.1.1.
 * Its message may be shown to the client and holds nothing that the client sent.
 */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly rule: Rule;
  /** What CONNACK or DISCONNECT says of it in MQTT 5. */
  readonly reason: Reason;
  /** The clause that was broken, of the version that the client speaks. */
  readonly clause: string;
  /** The connection is closed without a word. */
  readonly quiet: boolean;

  constructor(broken: Rule, version: Version | undefined, property?: PropertyAt, quiet = false) {
    const { reason, v5, v3, says }: RuleText = table[broken];
    const clause =
      property === undefined
        ? version === undefined || version === 5
          ? v5
          : v3
        : `section ${property.section}`;
    super(`${says}${property === undefined ? '' : ` (${property.name})`} ${clause}`);
    this.rule = broken;
    this.reason = reason;
    this.clause = clause;
    this.quiet = quiet;
  }
}
