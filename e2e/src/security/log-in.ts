import { randomBytes } from 'node:crypto';
import type { Packet } from 'mqtt-packet';
import type { Site } from './site.ts';
import { briefOf, connectPacket, MqttVisit } from './ways-mqtt.ts';

/** Resolves to what the fleet answers to a proof of the device's password, or to one of nothing. */
export async function logIn(site: Site, proof: 'right' | 'wrong'): Promise<string> {
  const { device } = site;
  const visit = new MqttVisit(site);
  const first = `n=${device.name},r=${randomBytes(12).toString('hex')}`;
  const properties = (data: string) => ({
    authenticationMethod: 'SCRAM-SHA-256',
    authenticationData: Buffer.from(data),
  });
  const asked = await visit.ask(connectPacket(undefined, { properties: properties(`n,,${first}`) }), 'auth');
  const { authenticationData = '' } =
    (asked as { properties?: { authenticationData?: Buffer } }).properties ?? {};
  const answer = device.proof(first, String(authenticationData), proof);
  const auth = { cmd: 'auth', reasonCode: 0x18, properties: properties(answer) } as Packet;
  const brief = briefOf(await visit.ask(auth, 'connack'));
  if (proof === 'wrong') site.refused(visit.text());
  visit.close();
  return brief;
}
