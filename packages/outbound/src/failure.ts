import { CallError, type CallFailure } from './call.ts';
import { Refusal } from './target.ts';

/** The part of the way to an answer that a call is in. */
export type Stage = 'waiting' | 'lookup' | 'connect' | 'tls' | 'proxy' | 'answer' | 'body';

// For the owner of the address. Codes: OpenSSL's X509_V_ERR_… as node:tls names them.
const certificates: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'is signed by an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT:
    'is signed by an authority that is not known, or an intermediate certificate is missing',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'is signed by an authority that is not known, or an intermediate certificate is missing',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'is signed by an authority that is not known, or an intermediate certificate is missing',
  CERT_REVOKED: 'was revoked',
  INVALID_PURPOSE: 'is not one for servers',
  CERT_SIGNATURE_FAILURE: 'has a wrong signature',
};

const lookups: Readonly<Record<string, string>> = {
  ENOTFOUND: 'does not exist',
  ENODATA: 'has no addresses',
  ETIMEOUT: 'cannot be looked up: its name servers do not answer',
  ESERVFAIL: 'cannot be looked up: its name servers fail',
  EREFUSED: 'cannot be looked up: its name servers refuse to answer',
  EAI_AGAIN: 'cannot be looked up at this moment',
  ETOOMANY: 'has more addresses than are looked at',
};

const connects: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections',
  ECONNRESET: 'closes connections while they are made',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  ETIMEDOUT: 'does not take connections',
};

const waits: Readonly<Record<Stage, string>> = {
  waiting: 'all connections to the host were busy',
  lookup: 'its name was not found out',
  connect: 'no connection could be made',
  tls: 'the TLS handshake did not end',
  proxy: 'the proxy of the fleet made no connection',
  answer: 'the request was sent and not answered',
  body: 'the answer did not end',
};

/** The call took longer than it may. */
export function tooLate(host: string, ms: number, stage: Stage): CallError {
  return new CallError('timeout', `${host} took longer than ${ms / 1_000} s: ${waits[stage]}.`);
}

/** Says for the owner of the address why the way to its host ended at this stage. */
export function explain(host: string, stage: Stage, thrown: unknown): CallError {
  if (thrown instanceof CallError) return thrown;
  if (thrown instanceof Refusal) return new CallError('refused', thrown.message, { cause: thrown });
  const code = String((thrown as NodeJS.ErrnoException).code ?? '');
  const [failure, words] = reason(host, stage, code);
  return new CallError(failure, words, { cause: thrown });
}

function reason(host: string, stage: Stage, code: string): readonly [CallFailure, string] {
  if (stage === 'lookup') return ['lookup', `${host} ${lookups[code] ?? 'cannot be looked up'}.`];
  if (stage === 'proxy') return ['connect', `The proxy of the fleet made no connection to ${host}.`];
  if (stage === 'connect') return ['connect', `${host} ${connects[code] ?? 'cannot be connected to'}.`];
  if (stage === 'tls') return ['tls', tlsWords(host, code)];
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return ['protocol', `The headers of the answer of ${host} are too long.`];
  }
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE') {
    return ['protocol', `${host} closed the connection before its answer was complete.`];
  }
  if (code === 'UND_ERR_INVALID_ARG')
    return ['refused', 'The path or a header of the request is not legal in HTTP.'];
  return ['protocol', `The answer of ${host} is not legal HTTP/1.1.`];
}

function tlsWords(host: string, code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `The certificate of ${host} is for another name.`;
  const words = certificates[code];
  if (words !== undefined) return `The certificate of ${host} ${words}.`;
  if (code === 'ECONNRESET') return `${host} closed the connection during the TLS handshake.`;
  return `TLS with ${host} failed${
    code === ''
      ? ''
      : ` (${code
          .replace(/^ERR_SSL_/, '')
          .toLowerCase()
          .replaceAll('_', ' ')})`
  }.`;
}
