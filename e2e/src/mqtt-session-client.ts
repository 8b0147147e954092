import type { IClientOptions, IConnackPacket, MqttClient } from 'mqtt';

export interface Where {
  readonly address: string;
  readonly token: string;
}

const returnMs = 200;

/** As MQTT.js is told of a session of an hour. */
export const persistent = ({ token }: Where, clientId: string, version: 4 | 5): IClientOptions => ({
  ...{ protocolVersion: version, clientId, clean: false, username: 'token', password: token },
  ...{ reconnectPeriod: returnMs, connectTimeout: 10_000 },
  ...(version === 5 && {
    properties: { sessionExpiryInterval: 3_600, userProperties: { cloudevents: 'binary' } },
  }),
});

/** Says whenever the session that a client comes back to is not there any more, or another client has it. */
export function watch(client: MqttClient, name: string, troubles: string[]): void {
  let known = false;
  client.on('connect', ({ sessionPresent }: IConnackPacket) => {
    if (known && !sessionPresent) troubles.push(`${name}: its session is gone`);
    known = true;
  });
  client.on('disconnect', ({ reasonCode }) => {
    if (reasonCode === 0x8e) troubles.push(`${name}: somebody else has its session`);
  });
  // It comes back from whatever that was.
  client.on('error', () => {});
}

/** What `paho_session.py` prints, besides what it was given. */
export interface PahoSaid {
  readonly connected?: string;
  readonly present?: boolean;
  readonly disconnected?: boolean;
  readonly subscribed?: boolean;
  readonly acknowledged?: string;
}
