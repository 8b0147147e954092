import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, suite, test } from 'node:test';
import { Authority, withoutOpenssl } from '@pushfleet/contract';
import { declareCertificateEnds, type Shown } from './certificate-ends.ts';
import { createMetrics } from './metrics.ts';
import { scrape, valueIn } from './testing-metrics.ts';

suite('when certificates end', { skip: withoutOpenssl }, () => {
  const authority = new Authority();
  after(() => authority.close());
  const soon = authority.issue('DNS:soon', { days: 1 }).cert;
  const later = authority.issue('DNS:later', { days: 9 }).cert;
  const endOf = (pem: string): number => Date.parse(new X509Certificate(pem).validTo) / 1_000;

  async function ends(shown: Shown | undefined): Promise<(number | undefined)[]> {
    const metrics = createMetrics();
    declareCertificateEnds(metrics, () => shown);
    const text = await scrape(metrics);
    await metrics.close();
    return ['cert', 'client_ca'].map((part) =>
      valueIn(text, `pushfleet_tls_not_after_seconds{part="${part}"}`),
    );
  }

  test('of what is shown and of the authority of clients', async () => {
    const shown = { cert: soon, clientCa: authority.cert };
    assert.deepEqual(await ends(shown), [endOf(soon), endOf(authority.cert)]);
  });

  test('of several in a file, the first to end', async () => {
    assert.deepEqual(await ends({ cert: `A chain:\n${later}${soon}` }), [endOf(soon), undefined]);
  });

  test('nothing where there is no TLS', async () => {
    for (const shown of [undefined, { cert: undefined }]) {
      assert.deepEqual(await ends(shown), [undefined, undefined]);
    }
  });
});
