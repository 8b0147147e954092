import { edgeFields, fleetFields } from '@pushfleet/edge';
import { intakeFields } from '@pushfleet/intake';
import { type Config, field } from '@pushfleet/runtime';

export const title = 'edge-mqtt';

// Of what every edge has, this one needs what does not concern HTTP.
const { opsListen, connections, connectionsPerSubject, connectionAgeMs, filters, outboxCount, outboxBytes } =
  edgeFields({
    env: 'EDGE_MQTT',
    noun: 'connections',
    port: 1883,
    opsPort: 9186,
    overrun: 'what comes after that is read from the log again.',
  });

const own = {
  ...{ opsListen, connections, connectionsPerSubject, connectionAgeMs, filters, outboxCount, outboxBytes },
  ...intakeFields('PUSHFLEET_EDGE_MQTT'),
  listen: field.address({
    env: 'PUSHFLEET_EDGE_MQTT_LISTEN',
    doc: 'Where clients connect, in cleartext MQTT over TCP.',
    fallback: '127.0.0.1:1883',
  }),
  cleartext: field.boolean({
    env: 'PUSHFLEET_EDGE_MQTT_CLEARTEXT',
    doc: 'Listen beyond this machine although tokens travel in cleartext. For networks that encrypt, or a TLS proxy in front.',
    fallback: false,
  }),
  connectMs: field.duration({
    env: 'PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS',
    doc: 'How long a connection has for its CONNECT.',
    fallback: 10,
    min: 0.1,
    max: 60,
  }),
  packetBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_MQTT_PACKET_BYTES',
    doc: 'The largest packet of a client, the Maximum Packet Size of MQTT. A payload and its topic and properties have to fit.',
    fallback: '1MiB',
    min: 1_024,
    max: 64 * 1_048_576,
  }),
  packetRate: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_PACKET_RATE',
    doc: 'Packets a second that are read from one connection, on average; bursts of as many are read at once. What comes faster waits in the client.',
    fallback: 10_000,
    min: 1,
  }),
  packetFilters: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_PACKET_FILTERS',
    doc: 'Most topic filters of one SUBSCRIBE or UNSUBSCRIBE.',
    fallback: 100,
    min: 1,
  }),
  userProperties: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_USER_PROPERTIES',
    doc: 'Most user properties of one packet; a will has as many again.',
    fallback: 60,
    min: 0,
  }),
  receiveMaximum: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_RECEIVE_MAXIMUM',
    doc: 'Publications of QoS 1 and 2 that a client of MQTT 5 may have sent without an acknowledgement.',
    fallback: 256,
    min: 1,
    max: 65_535,
  }),
  inflight: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_INFLIGHT',
    doc: 'Publications of QoS 1 and 2 that a client may have received without an acknowledgement; its own Receive Maximum may be lower.',
    fallback: 256,
    min: 1,
    max: 65_534,
  }),
  topicAliases: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_TOPIC_ALIASES',
    doc: 'Most topic aliases of a connection, each way. 0: none.',
    fallback: 32,
    min: 0,
    max: 65_535,
  }),
  keepAliveMs: field.duration({
    env: 'PUSHFLEET_EDGE_MQTT_KEEP_ALIVE_SECONDS',
    doc: 'The longest keep alive of a client of MQTT 5, which is told; also for one that asks for none.',
    fallback: 1_200,
    min: 1,
    max: 65_535,
  }),
  clientIdBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_MQTT_CLIENT_ID_BYTES',
    doc: 'Longest client identifier.',
    fallback: 256,
    min: 23,
    max: 65_535,
  }),
  sharedSubscriptions: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_SHARED_SUBSCRIPTIONS',
    doc: 'Most shared subscriptions of this process, whatever the number of their subscribers: one for each ShareName and topic filter of a namespace.',
    fallback: 10_000,
    min: 0,
  }),
  sessions: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_SESSIONS',
    doc: 'Most sessions of this process, those of connected clients included.',
    fallback: 100_000,
    min: 1,
  }),
  sessionExpiryMs: field.duration({
    env: 'PUSHFLEET_EDGE_MQTT_SESSION_EXPIRY_SECONDS',
    doc: 'The longest Session Expiry Interval; a client that asks for more is told. It is to be shorter than the log keeps publications.',
    fallback: 3_600,
    min: 0,
    max: 0xffff_fffe,
  }),
  serverReference: field.text({
    env: 'PUSHFLEET_EDGE_MQTT_SERVER_REFERENCE',
    doc: 'Where clients of MQTT 5 are sent when this instance shuts down, such as "mqtt.example.org:8883". Absent: they come back to where they were.',
    optional: true,
  }),
};

export const fields = { ...fleetFields, ...own };

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> & Pick<Config<typeof fleetFields>, 'drainMs'>;
