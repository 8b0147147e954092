import type { Played } from './mqtt-sequences.ts';

/** Tests of others that fail here on purpose, and the clause that leaves them the choice or us none. */
interface Known {
  readonly clause: string;
  readonly tests: readonly string[];
}

interface Expected {
  /** How many there are. */
  readonly tests: number;
  readonly known: readonly Known[];
}

const publish = (names: readonly string[]): string[] =>
  names.map((name) => `PUBLISH.json v5.0 PUBLISH ${name}`);

const knownSequences: readonly Known[] = [
  {
    clause:
      'Section 3.4.2.1: a server may say 0x10 where it knows that nobody is subscribed. One of a fleet does not know: other edges, webhooks and those who resume may be.',
    tests: publish([
      '32 QoS 1 Dup 0',
      '3A QoS 1 Dup 1',
      ...[
        'payload-format-indicator=0 (byte)',
        'payload-format-indicator=1 (byte)',
        'message-expiry-interval=0 (four byte integer)',
        'message-expiry-interval=1 (four byte integer)',
        'topic-alias (two byte integer)',
        'response-topic (UTF-8 string)',
        'correlation-data (binary data)',
        'correlation-data (binary data) empty',
        'user-property',
        '2*user-property',
        'user-property empty key',
        'user-property empty key,value',
        'user-property empty value',
        'content-type (UTF-8 string)',
        'content-type (UTF-8 string) empty',
      ].map((name) => `ALLOWED PROPERTIES ${name}`),
    ]),
  },
  {
    clause:
      '[MQTT-4.3.3-10], in 3.1.1 [MQTT-4.3.3-2]: until PUBREL comes, every PUBLISH with its packet identifier is answered with PUBREC, the third as the second.',
    tests: ['PUBLISH.json v3.1.1 PUBLISH 34 QoS 2 Dup flow*3', ...publish(['34 QoS 2 Dup flow*3'])],
  },
  {
    clause:
      'Section 4.3.3, figure 4.3: onward delivery may begin with PUBLISH, and does here, before PUBREC. Mosquitto waits for PUBREL.',
    tests: ['v3.1.1', 'v5.0'].flatMap((version) =>
      ['self publish qos2', 'retain as normal qos2'].map(
        (name) => `OTHER.json ${version} OTHER subpub ${name}`,
      ),
    ),
  },
  {
    clause:
      'Section 4.7.2: topics with a leading "$" are the server’s to close. Here they are the fleet’s own, and "#" in a token opens none of them.',
    tests: [
      ...publish(['PUBLISH with $ topic - connection/state']),
      'SUBSCRIBE.json v3.1.1 SUBSCRIBE 82 $SYS ok',
      'SUBSCRIBE.json v5.0 SUBSCRIBE 82 $SYS ok',
    ],
  },
];

const knownPaho: readonly Known[] = [
  {
    clause:
      'Section 3.9.3: a filter that is not allowed is answered with 0x87. The suite’s own client takes nothing but 0x80.',
    tests: ['client_test5 test_subscribe_failure'],
  },
];

export const expectedSequences: Expected = { tests: 1_826, known: knownSequences };
export const expectedPaho: Expected = { tests: 10 + 27, known: knownPaho };

/**
 * @returns how many passed
 * @throws Error with what failed and is not known to, and what is and passed or was not played
 */
export function judge(played: readonly Played[], { tests, known }: Expected): string {
  const expected = new Set(known.flatMap(({ tests }) => tests));
  const failed = new Map(
    played.flatMap(({ name, failure }) => (failure === undefined ? [] : [[name, failure] as const])),
  );
  const sum = `${played.length - failed.size} of ${played.length}`;
  const wrong = [
    ...Array.from(failed).flatMap(([name, failure]) => (expected.has(name) ? [] : [`${name}: ${failure}`])),
    ...Array.from(expected).flatMap((name) =>
      failed.has(name) ? [] : [`${name} is a known failure, and did not fail`],
    ),
  ];
  if (played.length !== tests) wrong.push(`There are ${tests} tests.`);
  if (wrong.length > 0) throw new Error(`${sum}\n${wrong.join('\n')}`);
  return `${sum}, ${failed.size} known to fail`;
}
