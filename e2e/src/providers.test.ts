import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Fleet } from './fleet.ts';
import {
  type CertifiedProvider,
  type Claims,
  type FakeProvider,
  movedTo,
  recipe,
  type Shape,
  startCertified,
  startFake,
} from './identity-provider.ts';
import { knock, openSse, publish } from './stream.ts';

const tenant = 'aaaabbbb-0000-cccc-1111-dddd2222eeee';

interface Documented {
  readonly heading: string;
  readonly host: string;
  readonly shape: Shape;
  readonly roles: { readonly read: string; readonly write: string };
  /** The claims of a token with these roles, from those of the document's example. */
  with(claims: Claims, roles: readonly string[]): Claims;
  /** Tokens of the same provider that are refused, by what is wrong with them. */
  readonly bad: Readonly<Record<string, (claims: Claims) => Claims>>;
}

const documented: readonly Documented[] = [
  {
    heading: 'Keycloak',
    host: 'https://id.example.com',
    shape: {
      issuer: '/realms/shop',
      keys: '/realms/shop/protocol/openid-connect/certs',
      keySet: (key) => [
        { ...key, kid: 'for-encryption', use: 'enc', alg: 'RSA-OAEP' },
        { ...key, use: 'sig', alg: 'RS256' },
      ],
    },
    roles: { read: 'reader', write: 'writer' },
    with: (claims, roles) => ({
      ...claims,
      resource_access: {
        account: { roles: ['view-profile'] },
        ...(roles.length > 0 && { pushfleet: { roles } }),
      },
    }),
    bad: {
      'an ID token': (claims) => ({ ...claims, typ: 'ID', aud: 'web' }),
      'an ID token for the fleet': (claims) => ({ ...claims, typ: 'ID' }),
      'for another client': (claims) => ({ ...claims, aud: 'account' }),
      'for nobody': ({ aud: _, ...claims }) => claims,
      'without the scope basic': ({ sub: _, ...claims }) => claims,
      'of another realm': (claims) => ({ ...claims, iss: `${claims.iss}s` }),
    },
  },
  {
    heading: 'Microsoft Entra ID',
    host: 'https://login.microsoftonline.com',
    shape: {
      issuer: `/${tenant}/v2.0`,
      keys: `/${tenant}/discovery/v2.0/keys`,
      keySet: (key) => [
        { ...key, use: 'sig', x5t: 'the-key', issuer: `https://login.microsoftonline.com/${tenant}/v2.0` },
      ],
    },
    roles: { read: 'Pushfleet.Read', write: 'Pushfleet.Write' },
    with: ({ roles: _, ...claims }, roles) => ({ ...claims, ...(roles.length > 0 && { roles }) }),
    bad: {
      'for the app that signed in': (claims) => ({ ...claims, aud: claims.azp }),
      'of version 1.0': (claims) => ({
        ...claims,
        ver: '1.0',
        iss: `https://sts.windows.net/${tenant}/`,
        aud: `api://${claims.aud}`,
      }),
      'without the scope profile': ({ oid: _, ...claims }) => claims,
      'of another tenant': (claims) => ({
        ...claims,
        iss: String(claims.iss).replace('aaaabbbb', 'bbbbcccc'),
      }),
    },
  },
];

const resource = 'https://push.example.com';
const scopes = 'orders:read orders:write';

let fleet: Fleet;
let certified: CertifiedProvider;
const providers = new Map<string, { readonly fake: FakeProvider; readonly claims: () => Claims }>();

before(async () => {
  const issuers: object[] = [];
  for (const { heading, host, shape } of documented) {
    const fake = await startFake(shape);
    const here = movedTo(recipe(heading), host, fake.url);
    issuers.push(...here.issuers);
    providers.set(heading, { fake, claims: () => asOfNow(here.claims) });
  }
  certified = await startCertified(scopes);
  issuers.push({
    ...{ issuer: certified.url, audience: resource, tokenType: 'at+jwt', namespace: 'shop', claim: 'scope' },
    roles: {
      'orders:read': { subscribe: ['orders/#'] },
      'orders:write': { publish: ['orders/#'], manage: true },
    },
  });
  fleet = await Fleet.start({ env: { PUSHFLEET_TOKEN_ISSUERS: JSON.stringify(issuers) } });
});
after(async () => {
  await fleet?.stop();
  certified?.stop();
  for (const { fake } of providers.values()) fake.stop();
});

/** The example's times, moved so that it was issued a minute ago. */
function asOfNow(claims: Claims): Claims {
  const by = Math.floor(Date.now() / 1_000) - 60 - Number(claims.iat);
  const times = ['iat', 'nbf', 'exp'].filter((name) => name in claims);
  return { ...claims, ...Object.fromEntries(times.map((name) => [name, Number(claims[name]) + by])) };
}

const asks = async (filter: string, token: string) =>
  knock(fleet.sse.address, filter, { authorization: `Bearer ${token}` });

async function deliversTo(reader: string, writer: string, payload: string): Promise<void> {
  const stream = await openSse(fleet.sse.address, 'orders/#', reader);
  assert.equal(await publish(fleet.http.address, 'orders/1', writer, payload), 201);
  await until(() => stream.text().includes(`data: ${payload}`), 'the publication');
  stream.close();
}

for (const { heading, roles, with: tokenWith, bad } of documented) {
  describe(`a token of ${heading}, as docs/security.md says`, () => {
    const of = () => providers.get(heading) as { fake: FakeProvider; claims: () => Claims };
    const holding = (...held: string[]) => of().fake.sign(tokenWith(of().claims(), held));

    test('is accepted as the document has it, and may what its role says', async () => {
      const token = await of().fake.sign(of().claims());
      assert.equal((await asks('orders/#', token)).status, 200);
      const sub = String(of().claims().oid ?? of().claims().sub);
      assert.equal((await asks(`inbox/${sub}`, token)).status, 200);
      for (const filter of ['inbox/another', 'inbox/+', '#', 'news']) {
        assert.equal((await asks(filter, token)).status, 403, filter);
      }
      assert.equal(await publish(fleet.http.address, 'orders/1', token), 403);
    });

    test('carries what another of its tokens may publish, in one namespace', async () => {
      const [read, write] = [await holding(roles.read), await holding(roles.write)];
      await deliversTo(read, write, heading.replaceAll(' ', '-'));
      assert.equal((await asks('orders/#', write)).status, 403);
      assert.equal(await publish(fleet.http.address, 'news/1', write), 403);
      const both = await holding('of-others', roles.read, roles.write);
      await deliversTo(both, both, 'both');
    });

    test('without a role, or with others alone, may nothing', async () => {
      for (const held of [[], ['offline_access', 'Admin']]) {
        const token = await holding(...held);
        assert.equal((await asks('orders/#', token)).code, 'forbidden');
        assert.equal(await publish(fleet.http.address, 'orders/1', token), 403);
      }
    });

    test('cannot speak for another namespace', async () => {
      const claims = tokenWith(of().claims(), [roles.read]);
      assert.equal((await asks('orders/#', await of().fake.sign({ ...claims, ns: 'shop' }))).status, 200);
      assert.equal(
        (await asks('orders/#', await of().fake.sign({ ...claims, ns: 'other' }))).code,
        'forbidden',
      );
    });

    for (const [what, change] of Object.entries(bad)) {
      test(`is refused: ${what}`, async () => {
        const token = await of().fake.sign(change(of().claims()));
        assert.equal((await asks('orders/#', token)).code, 'unauthenticated');
        assert.equal(await publish(fleet.http.address, 'orders/1', token), 401);
      });
    }

    test('is refused by another key, or expired', async () => {
      const { fake, claims } = of();
      assert.equal((await asks('orders/#', await fake.forge(claims()))).code, 'unauthenticated');
      const past = Math.floor(Date.now() / 1_000) - 60;
      const expired = { ...claims(), iat: past - 60, exp: past };
      assert.equal((await asks('orders/#', await fake.sign(expired))).code, 'token_expired');
    });
  });
}

test('a daemon of Microsoft Entra ID is known by its object id, and has no scp', async () => {
  const { fake, claims } = providers.get('Microsoft Entra ID') as {
    fake: FakeProvider;
    claims: () => Claims;
  };
  const { scp: _, name: __, preferred_username: ___, ...rest } = claims();
  const daemon = { ...rest, azpacr: '1', sub: rest.oid, roles: ['Pushfleet.Write'] };
  assert.equal(await publish(fleet.http.address, 'orders/1', await fake.sign(daemon)), 201);
});

describe('a token of npm oidc-provider by client credentials', () => {
  test('may what its scopes say', async () => {
    const [read, write] = [
      await certified.token('orders:read', resource),
      await certified.token('orders:write', resource),
    ];
    await deliversTo(read, write, 'certified');
    assert.equal((await asks('orders/#', write)).code, 'forbidden');
    assert.equal(await publish(fleet.http.address, 'orders/1', read), 403);
    const both = await certified.token(scopes, resource);
    await deliversTo(both, both, 'both-scopes');
  });

  test('is refused for another resource, and where it was revoked by its id', async () => {
    const elsewhere = await certified.token(scopes, 'https://else.example.com');
    assert.equal((await asks('orders/#', elsewhere)).code, 'unauthenticated');
    const token = await certified.token(scopes, resource);
    const stream = await openSse(fleet.sse.address, 'orders/#', token);
    const { jti } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
      jti: string;
    };
    const revoked = await fetch(`http://${fleet.registry.addresses.http}/v1/revocations`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await certified.token('orders:write', resource)}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ tokenId: jti }),
    });
    assert.equal(revoked.status, 201);
    await until(() => stream.ended, 'the stream to be closed');
    assert.match(stream.text(), /token_revoked/);
    await until(async () => (await publish(fleet.http.address, 'orders/1', token)) === 401, 'the refusal');
    assert.equal((await asks('orders/#', await certified.token(scopes, resource))).status, 200);
  });
});
