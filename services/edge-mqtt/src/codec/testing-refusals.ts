import type { Rule, Version } from './violation.ts';

export interface Refusal {
  readonly reason: number;
  readonly clause: string;
  /** On a connection of this version, after its CONNECT; 0: as the first bytes. */
  readonly after: Version | 0;
  readonly packet: string;
}

const refusal = (reason: number, clause: string, after: Version | 0, ...packets: string[]): Refusal[] =>
  packets.map((packet) => ({ reason, clause, after, packet }));

/** A CONNECT of 3.1.1 with other flags or another payload. */
export const connect4 = (length: string, flags: string, payload: string): string =>
  `10 ${length} 0004 'MQTT' 04 ${flags} 000a ${payload}`;
/** A CONNECT of 5. */
export const connect5 = (length: string, flags: string, payload: string): string =>
  `10 ${length} 0004 'MQTT' 05 ${flags} 000a ${payload}`;

/** For every rule, packets that break it and no other, with the code and the clause that they are refused by. */
export const refusals: Readonly<Record<Rule, readonly Refusal[]>> = {
  truncated: [
    // A property that is misplaced, too.
    ...refusal(0x81, 'section 1.2', 5, "30 05 0001 'a' 01 1f"),
    ...refusal(0x81, 'section 4.8', 4, '30 01 00', '30 02 0001', '32 04 0001 61 00', '40 00', '40 01 01'),
    ...refusal(0x81, 'section 4.8', 4, '82 01 00', "82 05 0001 0001 'p'", 'a2 04 0001 0001'),
    ...refusal(0x81, 'section 1.2', 5, '40 00', '40 01 01', "30 03 0001 'a'", "30 05 0001 'a' 05 01"),
    ...refusal(
      0x81,
      'section 1.2',
      5,
      '40 04 0001 00 01',
      'e0 02 00 01',
      'e0 03 00 01 11',
      'e0 06 00 04 11000000',
    ),
    ...refusal(
      0x81,
      'section 1.2',
      5,
      "30 05 0001 'a' 01 02",
      "30 06 0001 'a' 02 03 00",
      '40 06 0001 00 02 1f 00',
    ),
    ...refusal(0x81, 'section 1.2', 0, '10 00', '10 02 0004', "10 06 0004 'MQTT'"),
    ...refusal(0x81, 'section 4.8', 0, "10 09 0004 'MQTT' 04 02 00", connect4('0d', '06', "0001 'p'")),
    // A string that goes on behind the properties, into what follows them.
    ...refusal(0x81, 'section 1.2', 0, connect5('12', '02', "04 26 0001 'p' 0001 'p'")),
  ],
  trailing: [
    ...refusal(0x81, 'section 4.8', 4, '40 03 0001 00', 'c0 01 00', 'e0 01 00'),
    ...refusal(0x81, 'section 4.8', 0, connect4('0e', '02', "0001 'p' 00")),
    // Fields whose flags are not set: [MQTT-3.1.2-16] and [MQTT-3.1.2-18], 3.1.1 [MQTT-3.1.2-18] and [MQTT-3.1.2-20].
    ...refusal(
      0x81,
      'section 4.8',
      0,
      connect4('10', '02', "0001 'p' 0001 'p'"),
      connect4('13', '82', "0001 'p' 0001 'p' 0001 'p'"),
    ),
    ...refusal(0x81, 'section 1.2', 5, '40 05 0001 00 00 00', 'c0 01 00', 'e0 03 00 00 00'),
  ],
  integer_long: [
    ...refusal(0x81, 'section 1.5.5', 0, '10 80808080'),
    ...refusal(0x81, 'section 2.2.3', 4, '30 ffffff80'),
    ...refusal(
      0x81,
      'section 1.5.5',
      5,
      '30 ffffffff 01',
      "30 09 0001 'a' 8080808001 00",
      "82 0b 0001 05 0b 80808080 0001 'p'",
    ),
  ],
  integer_padded: [
    ...refusal(0x81, '[MQTT-1.5.5-1]', 5, "30 8500 0001 'a' 00", "30 06 0001 'a' 8000 00", '30 80808000'),
    ...refusal(0x81, '[MQTT-1.5.5-1]', 5, "82 09 0001 03 0b 8000 0001 'p'", "30 07 0001 'a' 03 8100 01"),
    ...refusal(0x81, '[MQTT-1.5.5-1]', 0, connect5('8e00', '02', "00 0001 'p'")),
  ],
  text_encoding: [
    // A surrogate, an overlong form, a lone continuation, one that is cut off, beyond U+10FFFF.
    ...['eda080 61', 'c080 6161', '80 616161', '6161 e282', 'f4908080'].flatMap((text) => [
      ...refusal(0x81, '[MQTT-1.5.3-1]', 4, `30 06 0004 ${text}`),
      ...refusal(0x81, '[MQTT-1.5.4-1]', 5, `30 07 0004 ${text} 00`),
    ]),
    ...refusal(
      0x81,
      '[MQTT-1.5.4-1]',
      5,
      "30 0b 0001 'a' 07 26 0001 ff 0001 'v'",
      "30 08 0001 'a' 04 03 0001 ff",
    ),
    ...refusal(0x81, '[MQTT-1.5.3-1]', 0, connect4('0e', '02', '0002 c328')),
  ],
  text_nul: [
    ...refusal(0x81, '[MQTT-1.5.3-2]', 4, '30 03 0001 00', '82 06 0001 0001 00 00', 'a2 05 0001 0001 00'),
    ...refusal(0x81, '[MQTT-1.5.4-2]', 5, '30 04 0001 00 00', "30 0b 0001 'a' 07 26 0001 'k' 0001 00"),
    ...refusal(0x81, '[MQTT-1.5.3-2]', 0, connect4('10', '82', "0001 'p' 0001 00")),
    ...refusal(0x81, '[MQTT-1.5.4-2]', 0, connect5('11', '82', "00 0001 'p' 0001 00")),
  ],
  text_control: [
    ...['01', '1f', '7f'].flatMap((byte) => refusal(0x81, 'section 1.5.3', 4, `30 03 0001 ${byte}`)),
    // U+0080, U+009F, U+FFFF, U+FDD0, U+1FFFE
    ...['0002 c280', '0002 c29f'].flatMap((text) => refusal(0x81, 'section 1.5.4', 5, `30 05 ${text} 00`)),
    ...['0003 efbfbf', '0003 efb790'].flatMap((text) =>
      refusal(0x81, 'section 1.5.4', 5, `30 06 ${text} 00`),
    ),
    ...refusal(0x81, 'section 1.5.4', 5, '30 07 0004 f09fbfbe 00', "30 08 0001 'a' 04 08 0001 0a"),
    ...refusal(0x81, 'section 1.5.3', 4, '82 06 0001 0001 09 00'),
    ...refusal(0x81, 'section 1.5.3', 0, connect4('10', '82', "0001 'p' 0001 0a")),
    ...refusal(0x81, 'section 1.5.3', 0, connect4('0d', '02', '0001 1f')),
  ],
  packet_large: [
    ...refusal(0x95, '[MQTT-3.2.2-15]', 5, '30 3f', '30 ffffff7f'),
    ...refusal(0x95, 'section 2.2.3', 4, '30 3f'),
    ...refusal(0x95, '[MQTT-3.2.2-15]', 0, '10 3f'),
  ],
  packet_first: refusal(0x82, '[MQTT-3.1.0-1]', 0, '30', '40', '82', 'c0', 'd0', 'e0', 'f0', '20'),
  packet_second: [
    ...refusal(0x82, '[MQTT-3.1.0-2]', 4, '10'),
    ...refusal(0x82, '[MQTT-3.1.0-2]', 5, '10', '1f'),
  ],
  type_reserved: [
    ...refusal(0x81, 'section 2.1.2', 0, '00', '0f'),
    ...refusal(0x81, 'section 2.1.2', 5, '00'),
    ...refusal(0x81, 'section 2.2.1', 4, '00', 'f0', 'ff'),
  ],
  type_direction: [
    ...refusal(0x82, 'section 2.1.2', 5, '20', '90', 'b0', 'd0'),
    ...refusal(0x82, 'section 2.2.1', 4, '20', '90', 'b0', 'd0'),
    ...refusal(0x82, 'section 2.2.1', 3, '92'),
  ],
  flags: [
    ...refusal(
      0x81,
      '[MQTT-2.1.3-1]',
      5,
      '41',
      '52',
      '60',
      '63',
      '6a',
      '71',
      '80',
      '8a',
      'a0',
      'aa',
      'c1',
      'd1',
      'e1',
      'e8',
      'f1',
      'f2',
    ),
    ...refusal(
      0x81,
      '[MQTT-2.2.2-2]',
      4,
      '41',
      '52',
      '60',
      '63',
      '6a',
      '71',
      '80',
      '8a',
      'a0',
      'aa',
      'c1',
      'e1',
    ),
    ...refusal(0x81, '[MQTT-2.1.3-1]', 0, "11 0e 0004 'MQTT' 05 02 000a 00 0001 'p'"),
    ...refusal(0x81, '[MQTT-2.2.2-2]', 0, "18 0d 0004 'MQTT' 04 02 000a 0001 'p'"),
  ],
  qos_3: [
    ...refusal(0x81, '[MQTT-3.3.1-4]', 4, '36', '3e'),
    ...refusal(0x81, '[MQTT-3.3.1-4]', 5, '36', '37'),
  ],
  dup_qos_0: [...refusal(0x81, '[MQTT-3.3.1-2]', 4, '38'), ...refusal(0x81, '[MQTT-3.3.1-2]', 5, '39')],
  packet_id: [
    ...refusal(
      0x82,
      '[MQTT-2.3.1-1]',
      4,
      "32 05 0001 'a' 0000",
      '40 02 0000',
      "82 06 0000 0001 'p' 00",
      "a2 05 0000 0001 'p'",
    ),
    ...refusal(
      0x82,
      '[MQTT-2.2.1-3]',
      5,
      "34 06 0001 'a' 0000 00",
      '50 02 0000',
      '62 02 0000',
      '70 03 0000 00',
    ),
  ],
  protocol_name: refusal(
    0x84,
    '[MQTT-3.1.2-1]',
    0,
    "10 0c 0003 'MQT' 04 02 000a 0001 'p'",
    "10 0d 0004 'mqtt' 04 02 000a 0001 'p'",
    "10 09 0000 04 02 000a 0001 'p'",
  ),
  protocol_version: [
    ...refusal(
      0x84,
      '[MQTT-3.1.2-2]',
      0,
      "10 0d 0004 'MQTT' 03 02 000a 0001 'p'",
      "10 0d 0004 'MQTT' 06 02 000a 0001 'p'",
    ),
    ...refusal(
      0x84,
      '[MQTT-3.1.2-2]',
      0,
      "10 0f 0006 'MQIsdp' 04 02 000a 0001 'p'",
      "10 0f 0006 'MQIsdp' 83 02 000a 0001 'p'",
    ),
  ],
  connect_reserved: [
    ...refusal(
      0x81,
      '[MQTT-3.1.2-3]',
      0,
      connect4('0d', '03', "0001 'p'"),
      connect5('0e', '01', "00 0001 'p'"),
    ),
  ],
  will_qos_alone: [
    ...refusal(
      0x81,
      '[MQTT-3.1.2-13]',
      0,
      connect4('0d', '0a', "0001 'p'"),
      connect4('0d', '12', "0001 'p'"),
    ),
    ...refusal(0x81, '[MQTT-3.1.2-11]', 0, connect5('0e', '0a', "00 0001 'p'")),
  ],
  will_qos_3: [
    ...refusal(0x81, '[MQTT-3.1.2-14]', 0, connect4('13', '1e', "0001 'p' 0001 'p' 0001 'p'")),
    ...refusal(0x81, '[MQTT-3.1.2-12]', 0, connect5('15', '1e', "00 0001 'p' 00 0001 'p' 0001 'p'")),
  ],
  will_retain_alone: [
    ...refusal(0x81, '[MQTT-3.1.2-15]', 0, connect4('0d', '22', "0001 'p'")),
    ...refusal(0x81, '[MQTT-3.1.2-13]', 0, connect5('0e', '22', "00 0001 'p'")),
  ],
  password_alone: refusal(0x81, '[MQTT-3.1.2-22]', 0, connect4('10', '42', "0001 'p' 0001 'p'")),
  client_id_empty: [
    ...refusal(0x85, '[MQTT-3.1.3-8]', 0, connect4('0c', '00', '0000')),
    ...refusal(0x85, '[MQTT-3.1.3-8]', 0, "10 0e 0006 'MQIsdp' 03 02 000a 0000"),
  ],
  client_id_text: [
    ...refusal(
      0x85,
      'section 3.1.3.1',
      0,
      connect5('0f', '02', '00 0002 c29f'),
      connect5('0e', '02', '00 0001 00'),
      connect5('0f', '02', '00 0002 c328'),
    ),
  ],
  auth_data_alone: refusal(0x82, 'section 3.1.2.11.10', 0, connect5('12', '02', "04 16 0001 'd' 0001 'p'")),
  // The last is an identifier of more than one byte.
  property_unknown: refusal(
    0x81,
    'section 2.2.2.2',
    5,
    "30 06 0001 'a' 02 00 01",
    "30 06 0001 'a' 02 04 01",
    "30 06 0001 'a' 02 7f 01",
    "30 07 0001 'a' 03 8001 01",
  ),
  property_misplaced: [
    ...refusal(
      0x82,
      'section 2.2.2.2',
      5,
      "30 09 0001 'a' 05 11 00000001",
      '40 06 0001 00 02 01 00',
      "82 08 0001 02 01 00 0001 'p'",
      'e0 04 00 02 01 00',
    ),
    ...refusal(
      0x82,
      'section 2.2.2.2',
      0,
      connect5('10', '02', "02 01 01 0001 'p'"),
      connect5('17', '06', "00 0001 'p' 02 17 01 0001 'p' 0001 'p'"),
    ),
  ],
  property_repeated: [
    ...refusal(0x82, 'section 3.3.2.3.2', 5, "30 08 0001 'a' 04 01 01 01 01"),
    ...refusal(0x82, 'section 3.3.2.3.3', 5, "30 0e 0001 'a' 0a 02 00000001 02 00000001"),
    ...refusal(0x82, 'section 3.3.2.3.4', 5, "30 0a 0001 'a' 06 23 0001 23 0002"),
    ...refusal(0x82, 'section 3.3.2.3.5', 5, "30 0c 0001 'a' 08 08 0001 'p' 08 0001 'p'"),
    ...refusal(0x82, 'section 3.3.2.3.6', 5, "30 0a 0001 'a' 06 09 0000 09 0000"),
    ...refusal(0x82, 'section 3.3.2.3.9', 5, "30 0a 0001 'a' 06 03 0000 03 0000"),
    ...refusal(
      0x82,
      'section 3.4.2.2.2',
      5,
      '40 0a 0001 00 06 1f 0000 1f 0000',
      'e0 08 00 06 1f 0000 1f 0000',
    ),
    ...refusal(0x82, 'section 3.8.2.1.2', 5, "82 0a 0001 04 0b 01 0b 01 0001 'p' 00"),
    ...refusal(0x82, 'section 3.1.2.11.2', 0, connect5('18', '02', "0a 11 00000001 11 00000001 0001 'p'")),
    ...refusal(0x82, 'section 3.1.2.11.9', 0, connect5('14', '02', "06 15 0000 15 0000 0001 'p'")),
    ...refusal(
      0x82,
      'section 3.1.3.2.2',
      0,
      connect5('1f', '06', "00 0001 'p' 0a 18 00000001 18 00000001 0001 'p' 0001 'p'"),
    ),
  ],
  property_value: [
    ...refusal(0x82, 'section 3.3.2.3.2', 5, "30 06 0001 'a' 02 01 02"),
    ...refusal(0x82, 'section 3.3.2.3.5', 5, "30 07 0001 'a' 03 08 0000"),
    ...refusal(0x82, 'section 3.3.2.3.8', 5, "30 06 0001 'a' 02 0b 00"),
    ...refusal(0x82, 'section 3.8.2.1.2', 5, "82 08 0001 02 0b 00 0001 'p' 00"),
    ...refusal(0x82, 'section 3.1.2.11.3', 0, connect5('11', '02', "03 21 0000 0001 'p'")),
    ...refusal(0x82, 'section 3.1.2.11.4', 0, connect5('13', '02', "05 27 00000000 0001 'p'")),
    ...refusal(0x82, 'section 3.1.2.11.6', 0, connect5('10', '02', "02 19 02 0001 'p'")),
    ...refusal(0x82, 'section 3.1.2.11.7', 0, connect5('10', '02', "02 17 02 0001 'p'")),
  ],
  too_many: [
    ...refusal(
      0x97,
      'section 4.8',
      4,
      "82 0e 0001 0001 'a' 00 0001 'b' 00 0001 'c' 00",
      "a2 0b 0001 0001 'a' 0001 'b' 0001 'c'",
    ),
    ...refusal(0x97, 'section 3.1.2.11.8', 5, "30 13 0001 'a' 0f 26 0000 0000 26 0000 0000 26 0000 0000"),
  ],
  topic_absent: [
    ...refusal(0x82, '[MQTT-4.7.3-1]', 4, '30 02 0000', "32 05 0000 0001 'x'"),
    ...refusal(0x82, 'section 3.3.2.1', 5, '30 03 0000 00', "30 04 0000 00 'x'"),
  ],
  topic_alias_0: refusal(0x94, '[MQTT-3.3.2-8]', 5, "30 07 0001 'a' 03 23 0000", '30 06 0000 03 23 0000'),
  subscription_id_sent: refusal(
    0x82,
    '[MQTT-3.3.4-6]',
    5,
    "30 06 0001 'a' 02 0b 01",
    "30 08 0001 'a' 04 0b 01 0b 02",
  ),
  name_empty: [
    ...refusal(
      0x81,
      '[MQTT-4.7.3-1]',
      4,
      '82 05 0001 0000 00',
      "82 09 0001 0001 'q' 00 0000 00",
      'a2 04 0001 0000',
    ),
    ...refusal(0x81, '[MQTT-4.7.3-1]', 5, '82 06 0001 00 0000 00'),
    ...refusal(0x81, '[MQTT-4.7.3-1]', 0, connect4('12', '06', "0001 'p' 0000 0001 'p'")),
  ],
  name_wildcard: [
    ...refusal(0x81, '[MQTT-4.7.1-1]', 4, "30 05 0003 'a/+'", "30 03 0001 '#'", "30 04 0002 'a#'"),
    ...refusal(0x81, '[MQTT-4.7.0-1]', 5, "30 06 0003 'a/+' 00", "30 08 0001 'a' 04 08 0001 '#'"),
    ...refusal(0x81, '[MQTT-4.7.1-1]', 0, connect4('13', '06', "0001 'p' 0001 '+' 0001 'p'")),
  ],
  filter_hash: [
    ...refusal(
      0x81,
      '[MQTT-4.7.1-2]',
      4,
      "82 07 0001 0002 'a#' 00",
      "82 08 0001 0003 '#/a' 00",
      "a2 07 0001 0003 'a#/'",
    ),
    ...refusal(
      0x81,
      '[MQTT-4.7.1-1]',
      5,
      "82 09 0001 00 0003 'a##' 00",
      "82 0a 0001 00 0004 'a/#/' 00",
      "82 08 0001 00 0002 '##' 00",
    ),
  ],
  filter_plus: [
    ...refusal(
      0x81,
      '[MQTT-4.7.1-3]',
      4,
      "82 0a 0001 0005 'ab/+e' 00",
      "82 07 0001 0002 'a+' 00",
      "82 07 0001 0002 '++' 00",
    ),
    ...refusal(0x81, '[MQTT-4.7.1-2]', 5, "a2 08 0001 00 0003 '+a/'", "82 09 0001 00 0003 'a+/' 00"),
  ],
  share_name: [
    ...refusal(
      0x81,
      '[MQTT-4.8.2-2]',
      5,
      "82 0e 0001 00 0008 '$share/g' 00",
      "82 0f 0001 00 0009 '$share//a' 00",
      "82 0f 0001 00 0009 '$share/g/' 00",
    ),
    ...refusal(
      0x81,
      '[MQTT-4.8.2-2]',
      5,
      "82 10 0001 00 000a '$share/+/a' 00",
      "a2 10 0001 00 000b '$share/g#/a'",
    ),
    ...refusal(0x81, 'section 4.7.2', 4, "82 0d 0001 0008 '$share/g' 00"),
  ],
  subscribe_empty: [
    ...refusal(0x82, '[MQTT-3.8.3-3]', 4, '82 02 0001'),
    ...refusal(0x82, '[MQTT-3.8.3-2]', 5, '82 03 0001 00'),
  ],
  unsubscribe_empty: [
    ...refusal(0x82, '[MQTT-3.10.3-2]', 4, 'a2 02 0001'),
    ...refusal(0x82, '[MQTT-3.10.3-2]', 5, 'a2 03 0001 00'),
  ],
  options_reserved: [
    ...['04', '08', '10', '20', '40', '80'].flatMap((options) =>
      refusal(0x81, '[MQTT-3.8.3-4]', 4, `82 06 0001 0001 'p' ${options}`),
    ),
    ...['40', '80', 'c0'].flatMap((options) =>
      refusal(0x81, '[MQTT-3.8.3-5]', 5, `82 07 0001 00 0001 'p' ${options}`),
    ),
  ],
  options_qos_3: [
    ...refusal(0x82, '[MQTT-3.8.3-4]', 4, "82 06 0001 0001 'p' 03"),
    ...refusal(0x82, 'section 3.8.3.1', 5, "82 07 0001 00 0001 'p' 03"),
  ],
  retain_handling_3: refusal(0x82, 'section 3.8.3.1', 5, "82 07 0001 00 0001 'p' 30"),
  no_local_shared: refusal(0x82, '[MQTT-3.8.3-4]', 5, "82 10 0001 00 000a '$share/p/p' 04"),
  reason_puback: refusal(0x82, '[MQTT-3.4.2-1]', 5, '40 03 0001 01', '40 04 0001 92 00', '40 03 0001 ff'),
  reason_pubrec: refusal(0x82, '[MQTT-3.5.2-1]', 5, '50 03 0001 11', '50 03 0001 92'),
  reason_pubrel: refusal(0x82, '[MQTT-3.6.2-1]', 5, '62 03 0001 80', '62 03 0001 10'),
  reason_pubcomp: refusal(0x82, '[MQTT-3.7.2-1]', 5, '70 03 0001 80', '70 03 0001 ff'),
  // Table 3-10: codes that do not exist, and those that a server sends.
  reason_disconnect: [
    '01',
    '05',
    '84',
    '87',
    '89',
    '8b',
    '8d',
    '8e',
    '8f',
    '9a',
    '9b',
    '9c',
    '9d',
    '9e',
    '9f',
    'a0',
    'a1',
    'a2',
    'ff',
  ].flatMap((code) => refusal(0x82, '[MQTT-3.14.2-1]', 5, `e0 01 ${code}`)),
  reason_auth: refusal(0x82, '[MQTT-3.15.2-1]', 5, 'f0 00', 'f0 01 00', 'f0 02 17 00'),
  auth_method_absent: refusal(
    0x82,
    'section 3.15.2.2.2',
    5,
    'f0 01 18',
    'f0 02 19 00',
    "f0 06 18 04 16 0001 'd'",
  ),
};
