import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Whether openssl is there, and why a test is skipped otherwise. */
export const withoutOpenssl: string | false = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'openssl, which makes the certificates, is not installed';
  }
})();

export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
}

export interface IssueOptions {
  readonly days?: number;
  /** As openssl takes it: `/CN=receiver/OU=tests`. */
  readonly subject?: string;
}

/** An authority of its own, for certificates of tests made by openssl. */
export class Authority {
  readonly #folder = mkdtempSync(join(tmpdir(), 'pushfleet-authority-'));
  readonly #key = join(this.#folder, 'ca.key');
  readonly #cert = join(this.#folder, 'ca.crt');
  readonly cert: string;
  #issued = 0;

  constructor() {
    this.#run(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      '/CN=Test',
      '-keyout',
      this.#key,
      '-out',
      this.#cert,
    );
    this.cert = readFileSync(this.#cert, 'utf8');
  }

  /** A certificate for these subject alternative names, such as `DNS:a.example`. */
  issue(names: string, { days = 2, subject = '/CN=receiver' }: IssueOptions = {}): TestCertificate {
    const base = join(this.#folder, String(++this.#issued));
    const [key, request, cert, extensions] = ['key', 'csr', 'crt', 'ext'].map((end) => `${base}.${end}`) as [
      string,
      string,
      string,
      string,
    ];
    writeFileSync(extensions, `subjectAltName=${names}\n`);
    this.#run('req', '-new', ...newKey, '-subj', subject, '-keyout', key, '-out', request);
    const signed = ['-CA', this.#cert, '-CAkey', this.#key, '-CAcreateserial', '-days', String(days)];
    this.#run('x509', '-req', '-in', request, ...signed, '-extfile', extensions, '-out', cert);
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  }

  /** A certificate that nobody signed. */
  selfSigned(names: string): TestCertificate {
    const base = join(this.#folder, String(++this.#issued));
    const [key, cert] = [`${base}.key`, `${base}.crt`];
    const subject = ['-subj', '/CN=receiver', '-addext', `subjectAltName=${names}`];
    this.#run('req', '-x509', ...newKey, '-days', '2', ...subject, '-keyout', key, '-out', cert);
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  }

  /** A list of those of its certificates that are revoked. */
  revocations(...revoked: readonly TestCertificate[]): string {
    const base = join(this.#folder, `crl-${++this.#issued}`);
    const [config, index, crl, cert] = ['cnf', 'txt', 'crl', 'crt'].map((end) => `${base}.${end}`) as [
      string,
      string,
      string,
      string,
    ];
    writeFileSync(index, '');
    writeFileSync(
      config,
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${index}\ndefault_md=sha256\ndefault_crl_days=2\n`,
    );
    const ca = ['ca', '-config', config, '-keyfile', this.#key, '-cert', this.#cert];
    for (const one of revoked) {
      writeFileSync(cert, one.cert);
      this.#run(...ca, '-revoke', cert);
    }
    this.#run(...ca, '-gencrl', '-out', crl);
    return readFileSync(crl, 'utf8');
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #run(...args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: 'ignore' });
  }
}
