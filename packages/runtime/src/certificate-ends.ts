import { X509Certificate } from 'node:crypto';
import type { Metrics } from './metrics.ts';

const certificates = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** When the first certificate of a chain or bundle ends, in Unix seconds; undefined where it holds none. */
function firstEnd(pem: string): number | undefined {
  const ends = (pem.match(certificates) ?? []).map((one) => new X509Certificate(one).validToDate.getTime());
  return ends.length === 0 ? undefined : Math.min(...ends) / 1_000;
}

/** PEM texts of a listener: what it shows, and the authority by which it judges its clients'. */
export interface Shown {
  readonly cert?: string | undefined;
  readonly clientCa?: string | undefined;
}

/** Declares when the certificates of a service's listener end; `shown` gives those in force, undefined without TLS. */
export function declareCertificateEnds(
  metrics: Pick<Metrics, 'gauge'>,
  shown: () => Shown | undefined,
): void {
  const description = 'When the first certificate of a file of the listener ends, in Unix seconds.';
  metrics.gauge('pushfleet_tls_not_after_seconds', { description }, () => {
    const { cert = '', clientCa = '' } = shown() ?? {};
    return [
      [firstEnd(cert), { part: 'cert' }] as const,
      [firstEnd(clientCa), { part: 'client_ca' }] as const,
    ].flatMap(([end, attributes]) => (end === undefined ? [] : [[end, attributes] as const]));
  });
}
