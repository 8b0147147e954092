import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { PushfleetError } from '@pushfleet/core';
import { type CertificateRule, certificateGrant, type Grant, type TlsPair } from '@pushfleet/runtime';
import type { Guest } from './doorstep.ts';

export interface TlsDoorOptions {
  readonly pair: TlsPair;
  /** Whether clients must show a certificate. */
  readonly required: boolean;
  /** What certificates allow. */
  readonly rules: readonly CertificateRule[];
  /** How long a handshake may take, in milliseconds. */
  readonly ms: number;
  /** @param certificate as in `Caller` */
  onSecure(socket: TLSSocket, guest: Guest, certificate: Grant | PushfleetError | undefined): void;
  onRefused(error: PushfleetError): void;
}

/** The TLS of connections that were accepted elsewhere. */
export class TlsDoor {
  readonly #o: TlsDoorOptions;
  /** Listens nowhere. */
  readonly #server: Server;
  /** Those in their handshake, by both ends of their socket. */
  readonly #guests = new Map<string, Guest>();

  constructor(options: TlsDoorOptions) {
    const { pair, required, ms } = options;
    this.#o = options;
    const asks = pair.clientCa !== undefined;
    this.#server = createServer({
      ...contextOf(pair),
      handshakeTimeout: ms,
      // What speaks another protocol on the same certificate cannot be led here.
      ALPNProtocols: ['mqtt'],
      ...(asks && { requestCert: true, rejectUnauthorized: required }),
    });
    this.#server.on('secureConnection', (socket) => this.#secured(socket));
    this.#server.on('tlsClientError', () =>
      options.onRefused(new PushfleetError('request_invalid', 'The TLS handshake failed.')),
    );
  }

  /** Handshakes to come are held with this one; connections that stand are left alone. */
  replace(pair: TlsPair): void {
    this.#server.setSecureContext(contextOf(pair));
  }

  take(socket: Socket, guest: Guest): void {
    const ends = endsOf(socket);
    if (ends === undefined) return;
    this.#guests.set(ends, guest);
    socket.once('close', () => this.#guests.delete(ends));
    this.#server.emit('connection', socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on('error', ignore);
    const ends = endsOf(socket);
    const guest = ends === undefined ? undefined : this.#guests.get(ends);
    if (guest === undefined) socket.destroy();
    else this.#o.onSecure(socket, guest, this.#certificateOf(socket));
  }

  #certificateOf(socket: TLSSocket): Grant | PushfleetError | undefined {
    if (this.#o.pair.clientCa === undefined) return undefined;
    const certificate = socket.getPeerCertificate(true);
    // Node has an empty object where none was shown.
    if ((certificate.fingerprint256 as string | undefined) === undefined) return undefined;
    try {
      if (!socket.authorized) throw unverified(socket);
      return certificateGrant(this.#o.rules, certificate, Date.now());
    } catch (error) {
      return PushfleetError.from(error);
    }
  }
}

const ignore = (): void => {};

const contextOf = ({ cert, key, clientCa: ca, clientCrl: crl }: TlsPair): SecureContextOptions => ({
  ...{ cert, key, minVersion: 'TLSv1.2' },
  // A session that is resumed keeps what was verified when it began, and has no chain.
  ...(ca !== undefined && { ca, secureOptions: constants.SSL_OP_NO_TICKET }),
  ...(crl !== undefined && { crl }),
});

/** Names a connection among those of this process; undefined where it is gone. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  return remoteAddress && `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

const unverified = ({ authorizationError }: TLSSocket): PushfleetError =>
  new PushfleetError(
    'unauthenticated',
    `The certificate could not be verified (${String(authorizationError)}). Show one of an authority that this fleet trusts, or none.`,
  );
