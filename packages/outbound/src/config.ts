import { isIP } from 'node:net';
import { type Config, field } from '@pushfleet/runtime';
import { AllowList } from './allow.ts';

/** What a service reads that calls, or stores, addresses that somebody outside the fleet has given. */
export const outboundFields = {
  outboundAllow: field.parsed(
    {
      env: 'PUSHFLEET_OUTBOUND_ALLOW',
      doc: 'What may be called although it is private, in clear (http) or on another port; docs/operations.md says what an entry covers. Read when a service starts.',
      rule: 'a comma-separated list of addresses, ranges, names and *.suffixes, each with or without :port',
      example: 'hooks.corp.example,*.test.example:8080,10.20.0.0/16,[fd12::7]:9000',
      fallback: '',
    },
    (text) => new AllowList(text),
  ),
  outboundPorts: field.parsed(
    {
      env: 'PUSHFLEET_OUTBOUND_PORTS',
      doc: 'The ports that are called.',
      rule: 'a comma-separated list of ports',
      example: '443',
      fallback: '443,8443',
    },
    parsePorts,
  ),
  outboundProxy: field.parsed(
    {
      env: 'PUSHFLEET_OUTBOUND_PROXY',
      doc: 'A proxy that every call goes through by CONNECT. It resolves the names, so it must refuse inner addresses itself: docs/operations.md.',
      rule: 'a URL of a proxy: http:// or https://, a host, and a user and password where it wants them',
      example: 'http://egress.example.com:3128',
      secret: true,
      file: true,
      optional: true,
    },
    parseProxy,
  ),
  outboundResolvers: field.parsed(
    {
      env: 'PUSHFLEET_OUTBOUND_RESOLVERS',
      doc: 'The name servers that are asked for names which strangers gave, such as ones that know no inner zone. Absent, those of the system.',
      rule: 'a comma-separated list of addresses, each with or without :port',
      example: '192.0.2.53,[2001:db8::53]:5353',
      optional: true,
    },
    parseServers,
  ),
  outboundConnectMs: field.duration({
    env: 'PUSHFLEET_OUTBOUND_CONNECT_TIMEOUT',
    doc: 'How long looking a name up, connecting and the TLS handshake may take together.',
    fallback: 10,
    min: 0.1,
    max: 60,
  }),
  outboundConnections: field.integer({
    env: 'PUSHFLEET_OUTBOUND_CONNECTIONS_PER_ORIGIN',
    doc: 'The most connections of one instance to one scheme, host and port. Further calls wait for one, within their own time.',
    fallback: 512,
    min: 1,
    max: 10_000,
  }),
  outboundIdleMs: field.duration({
    env: 'PUSHFLEET_OUTBOUND_IDLE_TIMEOUT',
    doc: 'How long a connection without calls is kept; less where the receiver says so (Keep-Alive: timeout=…).',
    fallback: 30,
    min: 1,
    max: 600,
  }),
  outboundIdleConnections: field.integer({
    env: 'PUSHFLEET_OUTBOUND_IDLE_CONNECTIONS',
    doc: 'The most connections without calls that one instance keeps, to all receivers together; the one unused for longest is closed.',
    fallback: 1_000,
    min: 0,
    max: 100_000,
  }),
  outboundResponseBytes: field.bytes({
    env: 'PUSHFLEET_OUTBOUND_RESPONSE_BYTES',
    doc: 'How much of the body of an answer is read and kept. The rest is not read: the connection is closed.',
    fallback: '16KiB',
    min: 0,
    max: 1_048_576,
  }),
  outboundHeaderBytes: field.bytes({
    env: 'PUSHFLEET_OUTBOUND_HEADER_BYTES',
    doc: 'The most bytes of names and values of headers that an answer may have; one with more is no answer.',
    fallback: '8KiB',
    min: 1_024,
    max: 262_144,
  }),
  outboundTlsCa: field.text({
    env: 'PUSHFLEET_OUTBOUND_TLS_CA',
    doc: "Certificates (PEM) of further authorities that receivers' certificates may be signed by, beside the public ones.",
    optional: true,
    file: true,
    example: 'PUSHFLEET_OUTBOUND_TLS_CA_FILE=/etc/pushfleet/corp-ca.pem',
  }),
};

export type OutboundConfig = Config<typeof outboundFields>;

function entries(text: string): readonly string[] {
  const list = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  if (list.length === 0) throw new Error();
  return list;
}

const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

function parsePorts(text: string): readonly number[] {
  const ports = entries(text);
  if (!ports.every(isPort)) throw new Error();
  return ports.map(Number);
}

function parseProxy(text: string): URL {
  const url = new URL(text);
  if (!['http:', 'https:'].includes(url.protocol) || url.pathname !== '/' || url.search !== '')
    throw new Error();
  return url;
}

function parseServers(text: string): readonly string[] {
  for (const entry of entries(text)) {
    const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
    const whole = isIP(entry) !== 0;
    if (!whole && (isIP(six ?? four ?? '') === 0 || (port !== undefined && !isPort(port)))) throw new Error();
  }
  return entries(text);
}
