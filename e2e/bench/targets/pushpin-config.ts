import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface PushpinPorts {
  /** Of the clients, of the HTTP publish endpoint, and of the origin that pushpin asks what a client wants. */
  readonly http: number;
  readonly publish: number;
  readonly origin: number;
}

/**
 * pushpin as its documentation configures it, in a folder of its own. What would limit a run is set out of the
 * way: the log line for each publication, and `message_rate`. With any rate at all pushpin 1.36 sends in rounds of
 * 25 ms, and each message that comes in between begins the round anew: under steady load nothing is delivered.
 * zurl, which asks the origin, may reach loopback.
 *
 * @returns the configuration's file
 */
export function writePushpinConfig(directory: string, libdir: string, ports: PushpinPorts): string {
  const lib = join(directory, 'lib');
  for (const folder of ['run', 'log']) mkdirSync(join(directory, folder));
  cpSync(libdir, lib, { recursive: true });
  const zurl = join(lib, 'runner/zurl.conf.template');
  writeFileSync(zurl, readFileSync(zurl, 'utf8').replace(/^deny=.*$/m, 'deny='));
  writeFileSync(join(directory, 'routes'), `* 127.0.0.1:${ports.origin}\n`);
  const file = join(directory, 'pushpin.conf');
  writeFileSync(file, pushpinConfig(directory, ports));
  return file;
}

const pushpinConfig = (directory: string, { http, publish }: PushpinPorts) => `[global]
include={libdir}/internal.conf
libdir=${directory}/lib
rundir=${directory}/run
ipc_prefix=bench-
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:${http}
logdir=${directory}/log
log_level=1
client_buffer_size=8192
client_maxconn=50000
[proxy]
routesfile=${directory}/routes
updates_check=off
sig_key=bench
zurl_out_specs=ipc://{rundir}/{ipc_prefix}zurl-in
zurl_out_stream_specs=ipc://{rundir}/{ipc_prefix}zurl-in-stream
zurl_in_specs=ipc://{rundir}/{ipc_prefix}zurl-out
[handler]
push_in_spec=ipc://{rundir}/{ipc_prefix}publish-pull
push_in_sub_specs=ipc://{rundir}/{ipc_prefix}publish-sub
push_in_http_addr=127.0.0.1
push_in_http_port=${publish}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
command_spec=ipc://{rundir}/{ipc_prefix}command
stats_spec=ipc://{rundir}/{ipc_prefix}stats
message_rate=0
message_hwm=1000000
message_wait=5000
id_cache_ttl=60
`;
