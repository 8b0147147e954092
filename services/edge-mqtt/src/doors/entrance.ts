import type { AddressInfo, Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import {
  type Address,
  ConfigError,
  isLoopback,
  type Log,
  type Metrics,
  type RegistryClient,
  type TimerWheel,
  type TlsPair,
  type TokenCheck,
  WatchedTls,
} from '@pushfleet/runtime';
import type { EdgeConfig } from '../config.ts';
import type { Caller, Newcomer, Transport } from './caller.ts';
import type { Doorstep, Guest } from './doorstep.ts';
import { TcpListener } from './tcp-listener.ts';
import { TlsDoor } from './tls-door.ts';
import { WebSocketListener } from './websocket-listener.ts';

export interface EntranceOptions {
  readonly config: EdgeConfig;
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket'>;
  readonly doorstep: Doorstep;
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'counter' | 'gauge'>;
  onArrival(newcomer: Newcomer): void;
  onRefused(error: PushfleetError): void;
}

/** Every way in: TCP, TLS where there is a certificate, WebSocket. */
export class Entrance {
  readonly #o: EntranceOptions;
  readonly #tcp: TcpListener;
  readonly #tls: TcpListener | undefined;
  readonly #certificates: WatchedTls;
  readonly #webSocket: WebSocketListener;
  /** Room for those who are only to be told to come back. */
  readonly #sockets: number;

  /** @throws ConfigError where tokens would travel in cleartext beyond this machine, or TLS cannot be had */
  constructor(options: EntranceOptions) {
    const { config, wheel } = options;
    if (!config.cleartext) requireLoopback(config);
    this.#o = options;
    this.#sockets = Math.ceil(config.connections * 1.1) + 100;
    this.#tcp = this.#listener('mqtt', config.listen, (socket, guest) =>
      this.#arrive(socket, guest, { transport: 'tcp' }),
    );
    this.#certificates = new WatchedTls({
      ...{ prefix: 'PUSHFLEET_EDGE_MQTT_TLS', log: options.log, metrics: options.metrics },
      sources: {
        ...{ cert: config.tlsCert, key: config.tlsKey },
        ...{ clientCa: config.tlsClientCa, clientCrl: config.tlsClientCrl },
      },
    });
    const { pair } = this.#certificates;
    requireClientCa(config, pair);
    this.#tls = pair === undefined ? undefined : this.#secure(pair);
    const { webSocketBytes: messageBytes, packetRate: frameRate } = config;
    this.#webSocket = new WebSocketListener({
      ...options,
      sockets: this.#sockets,
      stream: { messageBytes, frameRate, wheel, now: () => performance.now() },
    });
  }

  /** Where it listens, once started. */
  get addresses(): Readonly<Partial<Record<Transport, AddressInfo>>> {
    return {
      tcp: this.#tcp.address,
      ...(this.#tls !== undefined && { tls: this.#tls.address }),
      websocket: this.#webSocket.address,
    };
  }

  async start(): Promise<void> {
    await Promise.all([this.#tcp.start(), this.#tls?.start(), this.#webSocket.start()]);
    this.#certificates.start();
  }

  /** Takes nobody in any more; resolves when the last socket is gone. Those that came in are their owners' to close. */
  async close(): Promise<void> {
    this.#certificates.close();
    await Promise.all([this.#tcp.close(), this.#tls?.close(), this.#webSocket.close()]);
  }

  #listener(name: string, address: Address, onSocket: (socket: Socket, guest: Guest) => void): TcpListener {
    const { doorstep, log, config, onRefused } = this.#o;
    return new TcpListener({
      ...{ name, address, sockets: this.#sockets, proxies: config.proxies, doorstep, log, onSocket },
      onRefused: (code) => onRefused(new PushfleetError(code, 'A connection was closed at the door.')),
    });
  }

  #secure(pair: TlsPair): TcpListener {
    const { config, onRefused } = this.#o;
    const door = new TlsDoor({
      ...{ pair, required: config.tlsClientCert === 'required', rules: config.tlsClientGrants },
      ...{ ms: config.connectMs, onRefused },
      onSecure: (socket, guest, certificate) =>
        this.#arrive(socket, guest, { transport: 'tls', certificate }),
    });
    this.#certificates.onChanged = (changed) => door.replace(changed);
    return this.#listener('mqtts', config.tlsListen, (socket, guest) => door.take(socket, guest));
  }

  #arrive(stream: Socket, guest: Guest, known: Omit<Caller, 'address'>): void {
    const caller = { ...known, address: guest.address };
    this.#o.onArrival({ stream, caller, settle: () => guest.settle() });
  }
}

/** Tokens travel there. */
function requireLoopback(config: EdgeConfig): void {
  const open = [
    ['PUSHFLEET_EDGE_MQTT_LISTEN', config.listen.host],
    ['PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN', config.webSocketListen.host],
  ].filter(([, host]) => !isLoopback(host as string));
  if (open.length === 0) return;
  throw new ConfigError(
    open.map(
      ([variable, host]) =>
        `${variable} has ${host}, where tokens would travel in cleartext. Listen on 127.0.0.1, or set PUSHFLEET_EDGE_MQTT_CLEARTEXT=true where the network encrypts or a proxy in front brings TLS.`,
    ),
  );
}

/** What says something about certificates that nobody is asked for would be believed to protect. */
function requireClientCa({ tlsClientCert, tlsClientGrants }: EdgeConfig, pair: TlsPair | undefined): void {
  if (pair?.clientCa !== undefined || (tlsClientCert === 'optional' && tlsClientGrants.length === 0)) return;
  throw new ConfigError([
    'PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CERT and PUSHFLEET_EDGE_MQTT_TLS_CLIENT_GRANTS are about certificates of clients, and PUSHFLEET_EDGE_MQTT_TLS_CLIENT_CA, which signs them, is not set. Set it, or neither of the two.',
  ]);
}
