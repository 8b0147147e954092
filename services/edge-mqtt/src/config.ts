import { edgeFields, fleetFields, pageFields, presenceFields, sessionFields } from '@pushfleet/edge';
import { intakeFields } from '@pushfleet/intake';
import { type CertificateRule, type Config, field, parseCertificateRules } from '@pushfleet/runtime';
import { parseNetworks } from './doors/networks.ts';

export const title = 'edge-mqtt';

// Of what every edge has, this one needs what does not concern requests and their bodies.
const { listen, urlBytes, bodyBytes, corsOrigins, cookieSameSite, ...edge } = edgeFields({
  env: 'EDGE_MQTT',
  noun: 'connections',
  port: 1883,
  opsPort: 9186,
  overrun: 'what comes after that is read from the log again.',
});

const transports = {
  tlsListen: field.address({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_LISTEN',
    doc: 'Where clients connect with TLS. Nothing listens there without a certificate.',
    fallback: '127.0.0.1:8883',
  }),
  tlsCert: field.pem({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_CERT',
    doc: 'The certificate chain that clients are shown. Where this, its key, or the authority or the revocation list of clients is a file, it is read again when it changes.',
    optional: true,
  }),
  tlsKey: field.pem({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_KEY',
    doc: 'The private key of PUSHFLEET_EDGE_MQTT_TLS_CERT.',
    optional: true,
    secret: true,
  }),
  tlsClientCa: field.pem({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CA',
    doc: 'The certificates that sign those of clients. With them clients are asked for a certificate.',
    optional: true,
  }),
  tlsClientCrl: field.pem({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CRL',
    doc: 'Which certificates of clients are revoked: a list (CRL) of each authority in their chains. One that has run out lets no certificate pass.',
    optional: true,
  }),
  tlsClientCert: field.choice({
    env: 'PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CERT',
    doc: 'Whether a client must show a certificate, beside its token or in the place of one.',
    choices: ['optional', 'required'],
    fallback: 'optional',
  }),
  tlsClientGrants: field.parsed(
    {
      env: 'PUSHFLEET_EDGE_MQTT_TLS_CLIENT_GRANTS',
      doc: 'What certificates allow in the place of a token; docs/security.md lists what an entry may say. Absent, a certificate allows nothing.',
      rule: 'a JSON list of rules for certificates',
      example: '[{"subject":"CN","grants":{"publish":["devices/{sub}/#"]}}]',
      fallback: '[]',
      file: true,
    },
    (text): readonly CertificateRule[] => parseCertificateRules(text),
  ),
  webSocketListen: field.address({
    env: 'PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN',
    doc: 'Where clients connect by WebSocket at /mqtt, in cleartext HTTP/1.1: TLS is the business of the front.',
    fallback: '127.0.0.1:8086',
  }),
  webSocketBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_MQTT_WEBSOCKET_MESSAGE_BYTES',
    doc: 'The largest WebSocket message of a client, which may hold packets in part or several of them; a larger one closes its connection with 1009.',
    fallback: '1MiB',
    min: 1_024,
    max: 64 * 1_048_576,
  }),
  forwarders: field.parsed(
    {
      env: 'PUSHFLEET_EDGE_MQTT_FORWARDED_FROM',
      doc: 'Addresses and ranges of the proxies whose X-Forwarded-For says which client a WebSocket connection is of. From others it is not looked at.',
      rule: 'a comma-separated list of addresses and ranges such as 10.0.0.0/8',
      example: '10.0.0.0/8',
      fallback: '',
    },
    parseNetworks,
  ),
  proxies: field.parsed(
    {
      env: 'PUSHFLEET_EDGE_MQTT_PROXY_PROTOCOL_FROM',
      doc: 'Addresses and ranges of the proxies that begin every connection, over TCP and TLS, with a PROXY header of version 1 or 2. A connection of theirs without one is closed. From others no header is read.',
      rule: 'a comma-separated list of addresses and ranges such as 10.0.0.0/8',
      example: '10.0.0.0/8',
      fallback: '',
    },
    parseNetworks,
  ),
  arrivals: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_ARRIVALS',
    doc: 'Most connections at once whose CONNECT was not accepted yet, those in a handshake included; one more is closed at once.',
    fallback: 5_000,
    min: 1,
  }),
  connectionsPerAddress: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_ADDRESS',
    doc: 'Most connections of one client address (of IPv6, a /64); one more is closed at once. Mind proxies that do not say whom they bring.',
    fallback: 10_000,
    min: 1,
  }),
};

const clientIds = {
  clientIdBytes: field.bytes({
    env: 'PUSHFLEET_EDGE_MQTT_CLIENT_ID_BYTES',
    doc: 'Longest client identifier.',
    fallback: 256,
    min: 23,
    max: 65_535,
  }),
  clientIdPatterns: field.list({
    env: 'PUSHFLEET_EDGE_MQTT_CLIENT_IDS',
    doc: 'What a client identifier has to look like: one of these, in which "{sub}" is the subject of the token and "*" any characters. Empty: no matter what.',
    fallback: '',
    example: '{sub},{sub}-*',
  }),
  clientIdCharacters: field.text({
    env: 'PUSHFLEET_EDGE_MQTT_CLIENT_ID_CHARACTERS',
    doc: 'The characters that a client identifier may have besides letters and digits of ASCII. Absent: all that MQTT allows but control characters.',
    optional: true,
    example: '._:-',
  }),
  clientIdAssigned: field.boolean({
    env: 'PUSHFLEET_EDGE_MQTT_CLIENT_ID_ASSIGNED',
    doc: 'Give an identifier to clients that bring none; otherwise they are refused.',
    fallback: true,
  }),
};

const own = {
  ...edge,
  ...intakeFields('PUSHFLEET_EDGE_MQTT'),
  ...transports,
  ...clientIds,
  listen: field.address({
    env: 'PUSHFLEET_EDGE_MQTT_LISTEN',
    doc: 'Where clients connect, in cleartext MQTT over TCP.',
    fallback: '127.0.0.1:1883',
  }),
  cleartext: field.boolean({
    env: 'PUSHFLEET_EDGE_MQTT_CLEARTEXT',
    doc: 'Listen beyond this machine without TLS, over TCP and WebSocket, although tokens travel in cleartext. For networks that encrypt, or a TLS proxy in front.',
    fallback: false,
  }),
  connectMs: field.duration({
    env: 'PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS',
    doc: 'How long a connection has for its CONNECT, and for all that comes before it: a PROXY header, the handshakes of TLS and WebSocket.',
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
  given: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_GIVEN',
    doc: 'Publications of QoS 2 that a session remembers to have been given, for 75 seconds: behind a change of leader the log has them read again. The oldest are forgotten first, 256 at a time; then such a change may repeat them.',
    fallback: 16_384,
    min: 256,
    max: 1_000_000,
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
  sharedSubscriptions: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_SHARED_SUBSCRIPTIONS',
    doc: 'Most shared subscriptions of this process, whatever the number of their subscribers: one for each ShareName and topic filter of a namespace.',
    fallback: 10_000,
    min: 0,
  }),
  sessions: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_SESSIONS',
    doc: 'Most sessions of this process, those of connected clients included. With a registry sessions lie there, and this is of no matter.',
    fallback: 100_000,
    min: 1,
  }),
  sessionExpiryMs: field.duration({
    env: 'PUSHFLEET_EDGE_MQTT_SESSION_EXPIRY_SECONDS',
    doc: 'The longest Session Expiry Interval; a client that asks for more is told. It is never longer than the log keeps publications.',
    fallback: 3_600,
    min: 0,
    max: 0xffff_fffe,
  }),
  serverReference: field.text({
    env: 'PUSHFLEET_EDGE_MQTT_SERVER_REFERENCE',
    doc: 'Where clients of MQTT 5 are sent when this instance shuts down, such as "mqtt.example.org:8883". Absent: they come back to where they were.',
    optional: true,
  }),
  scramUsersFile: field.text({
    env: 'PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE',
    doc: 'A JSON file of those who may log in by SCRAM-SHA-256, read again whenever it changes; the README of edge-mqtt describes it, and "npx pushfleet verifier" makes what stands in it in the place of passwords. Absent: SCRAM is not offered.',
    optional: true,
    example: '/run/secrets/mqtt-users.json',
  }),
  authFailures: field.integer({
    env: 'PUSHFLEET_EDGE_MQTT_AUTH_FAILURES',
    doc: 'Wrong SCRAM proofs in a minute for one user name from one address; what comes after that is refused until the minute is over.',
    fallback: 10,
    min: 1,
  }),
};

export const fields = { ...fleetFields, ...pageFields, ...presenceFields, ...sessionFields, ...own };

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> &
  Pick<Config<typeof fleetFields>, 'drainMs' | 'requestMs' | 'internalSecret' | 'tokenSecret'> &
  Pick<Config<typeof presenceFields>, 'presenceLingerMs' | 'presenceTopics'> &
  Config<typeof pageFields>;
