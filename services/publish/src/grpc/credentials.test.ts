import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcCredentials } from './credentials.ts';

const config = {
  grpcListen: { host: '127.0.0.1', port: 0 },
  grpcCleartext: false,
  grpcTlsCert: undefined,
  grpcTlsKey: undefined,
  grpcTlsClientCa: undefined,
  requestMs: 10_000,
};

test('cleartext stays on loopback unless it is asked for', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    grpcCredentials({ ...config, grpcListen: { host, port: 0 } });
  }
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.example.com']) {
    const grpcListen = { host, port: 0 };
    assert.throws(() => grpcCredentials({ ...config, grpcListen }), /CLEARTEXT=true/);
    grpcCredentials({ ...config, grpcListen, grpcCleartext: true });
  }
});

test('half of TLS is refused', () => {
  assert.throws(() => grpcCredentials({ ...config, grpcTlsCert: 'x' }), /belong together/);
  assert.throws(() => grpcCredentials({ ...config, grpcTlsKey: 'x' }), /belong together/);
  assert.throws(() => grpcCredentials({ ...config, grpcTlsClientCa: 'x' }), /needs both/);
});
