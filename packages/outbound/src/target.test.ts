import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AllowList } from './allow.ts';
import { judgeAddresses, parseTarget, Refusal, type Rule } from './target.ts';

const rules = { allow: new AllowList(), ports: [443, 8443] };

/** The rule that refuses a URL, or undefined. */
function ruleOf(url: string, allow = ''): Rule | undefined {
  try {
    parseTarget(url, { ...rules, allow: new AllowList(allow) });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error.rule;
  }
}

describe('what is called', () => {
  test('is https on a port of the list, with path and query as given', () => {
    const target = parseTarget('https://Hooks.Example.com:8443/a%2Fb/../c?d=e&f#g', rules);
    assert.deepEqual(target, {
      origin: 'https://hooks.example.com:8443',
      secure: true,
      host: 'hooks.example.com',
      port: 8443,
      path: '/c?d=e&f',
      allowed: false,
    });
  });

  test('may be a public address', () => {
    assert.equal(parseTarget('https://8.8.8.8/', rules).host, '8.8.8.8');
    assert.equal(parseTarget('https://[2606:4700:0::1111]/', rules).host, '2606:4700::1111');
  });

  test('is a name in any script', () => {
    assert.equal(parseTarget('https://bücher.example/', rules).host, 'xn--bcher-kva.example');
  });

  test('is what the operator allows, in clear and on any port', () => {
    assert.equal(ruleOf('http://hooks.corp.example/', 'hooks.corp.example'), undefined);
    assert.equal(ruleOf('http://a.internal:81/', '*.internal:81'), undefined);
    assert.equal(ruleOf('http://a.internal:82/', '*.internal:81'), 'scheme');
    assert.equal(ruleOf('http://localhost:3000/', 'localhost'), undefined);
    assert.equal(ruleOf('http://127.0.0.1:3000/', '127.0.0.0/8:3000'), undefined);
    assert.equal(ruleOf('https://[fd12::7]/', 'fd12::/16'), undefined);
  });
});

const refused: Readonly<Partial<Record<Rule, readonly string[]>>> = {
  url: [
    'hooks.example.com/',
    '//hooks.example.com/',
    'https://',
    'https:///hooks.example.com/',
    'https:hooks.example.com',
    'https:/hooks.example.com',
    'https:\\\\hooks.example.com\\',
    'https://hooks.example.com\\.evil.example/',
    'https://hooks.example.com/a b',
    ' https://hooks.example.com/',
    'https://hooks.exa\tmple.com/',
    'https://hooks.example.com/\r\nhost: evil.example',
    'https://hooks.example.com/a\u0000',
    'https://hooks.example.com:65536/',
    'https://[::1/',
    'https://[fe80::1%25eth0]/',
    'https://[fe80::1%eth0]/',
    'https://[::1]%00.example.com/',
    'https://1.2.3.4.5/',
    'https://0x100000000/',
    'https://256.1.1.1/',
    'https://09.0.0.1/',
    'https://a%2fb.example.com/',
    'https://a\u200b%00.example/',
  ],
  scheme: [
    'http://hooks.example.com/',
    'ftp://hooks.example.com/',
    'ws://hooks.example.com/',
    'file://hooks.example.com/etc/passwd',
    'gopher://hooks.example.com/',
  ],
  userinfo: [
    'https://user:password@hooks.example.com/',
    'https://user@hooks.example.com/',
    'https://@hooks.example.com/',
    'https://:@hooks.example.com/',
    'https://hooks.example.com@127.0.0.1/',
    'https://hooks.example.com%2f@127.0.0.1/',
    'https://hooks.example.com:443@127.0.0.1/',
  ],
  port: [
    'https://hooks.example.com:22/',
    'https://hooks.example.com:80/',
    'https://hooks.example.com:6379/',
    'https://hooks.example.com:0/',
    'https://8.8.8.8:65535/',
  ],
  name: [
    'https://localhost/',
    'https://LOCALHOST/',
    'https://ｌｏｃａｌｈｏｓｔ/',
    'https://loc%61lhost/',
    'https://localhost./',
    'https://a.localhost/',
    'https://metadata.google.internal/computeMetadata/v1/',
    'https://metadata.google.internal./',
    'https://ip-10-0-0-1.eu-west-1.compute.internal/',
    'https://printer.local/',
    'https://billing.prod.svc.cluster.local/',
    'https://router.home.arpa/',
    'https://localhost.localdomain/',
    'https://kubernetes/',
    'https://metadata/',
    'https://hooks.example.com./',
  ],
  metadata: [
    'https://169.254.169.254/latest/meta-data/',
    'https://0xa9fea9fe/',
    'https://2852039166/',
    'https://0251.0376.0251.0376/',
    'https://169.254.43518/',
    'https://[::ffff:169.254.169.254]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[2002:a9fe:a9fe::]/',
    'https://[fd00:ec2::254]/',
    'https://168.63.129.16/',
    'https://100.100.100.200/',
    'https://192.0.0.192/',
  ],
  loopback: [
    'https://127.0.0.1/',
    'https://127.0.0.1./',
    'https://127.1/',
    'https://127.0.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0x7F.1/',
    'https://017700000001/',
    'https://0177.0x0.0.01/',
    'https://127。0。0。1/',
    'https://１２７.０.０.１/',
    'https://①②⑦.⓪.⓪.①/',
    'https://%31%32%37.0.0.1/',
    'https://[::1]/',
    'https://[0:0:0:0:0:0:0:1]/',
    'https://[::127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
  ],
  unspecified: ['https://0/', 'https://0.0.0.0/', 'https://0x0/', 'https://[::]/', 'https://[::ffff:0:0]/'],
};

for (const [rule, urls] of Object.entries(refused)) {
  describe(`refused: ${rule}`, () => {
    for (const url of urls) test(JSON.stringify(url), () => assert.equal(ruleOf(url), rule));
  });
}

test('what a URL hides is not told', () => {
  for (const url of [
    'https://user:hunter2@a.example/',
    'https://localhost/hunter2?hunter2',
    'ftp://hunter2@a/hunter2',
  ]) {
    assert.throws(
      () => parseTarget(url, rules),
      (error: Error) => !error.message.includes('hunter2'),
    );
  }
});

const ranges: readonly (readonly [base: number, prefix: number])[] = (
  [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
    ['192.88.99.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    ['224.0.0.0', 4],
    ['240.0.0.0', 4],
    ['168.63.129.16', 32],
  ] as const
).map(([text, prefix]) => [text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0), prefix]);

/** Any address of a refused range, as four octets. */
const inner = fc
  .tuple(fc.constantFrom(...ranges), fc.nat({ max: 0xffffffff }))
  .map(([[base, prefix], bits]) => base + (prefix === 32 ? 0 : bits % 2 ** (32 - prefix)))
  .map((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255] as const);

type Octets = readonly [number, number, number, number];
const hex = (value: number): string => value.toString(16);
const number = ([a, b, c, d]: Octets): number => a * 2 ** 24 + b * 2 ** 16 + c * 256 + d;
const wide = (text: string): string =>
  text.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));

const notations: Readonly<Record<string, (octets: Octets) => string>> = {
  dotted: (o) => o.join('.'),
  'with a final dot': (o) => `${o.join('.')}.`,
  decimal: (o) => String(number(o)),
  hexadecimal: (o) => `0x${hex(number(o))}`,
  octal: (o) => `0${number(o).toString(8)}`,
  'dotted hexadecimal': (o) => o.map((octet) => `0x${hex(octet)}`).join('.'),
  'dotted octal': (o) => o.map((octet) => `0${octet.toString(8)}`).join('.'),
  'padded with zeroes': (o) => o.map((octet) => `0000${octet.toString(8)}`).join('.'),
  mixed: ([a, b, c, d]) => `0x${hex(a)}.${b}.0${c.toString(8)}.0X${hex(d)}`,
  'two parts': ([a, b, c, d]) => `${a}.${b * 65_536 + c * 256 + d}`,
  'three parts': ([a, b, c, d]) => `${a}.${b}.${c * 256 + d}`,
  'full-width digits': (o) => wide(o.join('.')),
  'ideographic full stops': (o) => o.join('。'),
  'percent-encoded': (o) => o.join('.').replace(/[\d.]/g, (c) => `%${hex(c.charCodeAt(0))}`),
};

const six = (prefix: string, [a, b, c, d]: Octets, mask = 0): string =>
  `${prefix}${hex((a * 256 + b) ^ mask)}:${hex((c * 256 + d) ^ mask)}`;
const embeddings: Readonly<Record<string, (octets: Octets) => string>> = {
  'IPv4-mapped': (o) => six('::ffff:', o),
  'IPv4-mapped, dotted': (o) => `::ffff:${o.join('.')}`,
  'IPv4-mapped in full': (o) => six('0:0:0:0:0:FFFF:', o),
  'IPv4-compatible': (o) => six('::', o),
  'IPv4-translated': (o) => six('::ffff:0:', o),
  NAT64: (o) => six('64:ff9b::', o),
  'NAT64 of its own network': (o) => six('64:ff9b:1::', o),
  '6to4': (o) => `${six('2002:', o)}:1::1`,
  'Teredo client': (o) => six('2001:0:808:808:8000:1:', o, 0xffff),
  'Teredo server': (o) => `${six('2001:0:', o)}:8000:1:f7f7:f7f7`,
  ISATAP: (o) => six('2606:4700::5efe:', o),
};

describe('for any address of a refused range', () => {
  const named = parseTarget('https://hooks.example.com/', rules);

  for (const [name, write] of Object.entries(notations)) {
    test(`its notation is refused: ${name}`, () =>
      fc.assert(
        fc.property(inner, (octets) => {
          const rule = ruleOf(`https://${octets.join('.')}/`);
          assert.notEqual(rule, undefined);
          assert.equal(ruleOf(`https://${write(octets)}/`), rule);
        }),
      ));
  }

  for (const [name, write] of Object.entries(embeddings)) {
    test(`its embedding is refused, as a literal and as what a name resolves to: ${name}`, () =>
      fc.assert(
        fc.property(inner, (octets) => {
          assert.notEqual(ruleOf(`https://[${write(octets)}]/`), undefined);
          assert.throws(() => judgeAddresses(named, ['8.8.8.8', write(octets)], rules.allow), Refusal);
        }),
      ));
  }

  test('its embeddings are refused although the operator allows all translators', () => {
    const allow = new AllowList(
      '64:ff9b::/96,64:ff9b:1::/48,::ffff:0:0/96,::/96,::ffff:0:0:0/96,2002::/16,2001::/32',
    );
    judgeAddresses(named, ['64:ff9b::808:808', '2002:808:808::1', '::ffff:8.8.8.8'], allow);
    fc.assert(
      fc.property(inner, fc.constantFrom(...Object.values(embeddings)), (octets, write) => {
        // Without a translator before them these are addresses of their own, `::` and `::1`, and were allowed as such.
        fc.pre(octets.slice(0, 3).some((octet) => octet !== 0) || (octets[3] ?? 0) > 1);
        assert.throws(() => judgeAddresses(named, [write(octets)], allow), Refusal);
      }),
    );
  });

  test('an allowed name does not make it so, unless it is private, shared or loopback', () => {
    const allow = new AllowList('hooks.example.com');
    const target = parseTarget('https://hooks.example.com/', { ...rules, allow });
    judgeAddresses(target, ['10.0.0.1', '127.0.0.1', '100.64.0.1', 'fd12::1'], allow);
    for (const address of ['169.254.169.254', '100.100.100.200', 'fe80::1', '0.0.0.0', '::ffff:10.0.0.1']) {
      assert.throws(() => judgeAddresses(target, [address], allow), Refusal, address);
    }
  });
});

test('whatever text is given, it is a target or refused', () => {
  const pieces = fc.constantFrom(
    'https://',
    'http:',
    '//',
    '\\',
    '@',
    ':',
    '.',
    '[',
    ']',
    '%',
    '::1',
    '127.1',
    '0x',
    'a',
  );
  const text = fc.array(fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 12 });
  fc.assert(
    fc.property(text, (parts) => {
      ruleOf(parts.join(''));
      ruleOf(`https://${parts.join('')}`);
    }),
    { numRuns: 2_000 },
  );
});
