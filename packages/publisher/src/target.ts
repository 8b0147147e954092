/** One address of the publish service as grpc-js takes it. */
export interface Target {
  /** host:port, or as a name to resolve: `dns:///host:port` */
  readonly address: string;
  readonly cleartext: boolean;
}

/**
 * `https://host[:port]`: TLS. `http://host[:port]`: cleartext, for loopback and meshes that bring TLS.
 * `dns:///host:port`: every address of the name, over TLS unless `tls` is false.
 *
 * @throws TypeError that says what is wrong
 */
export function parseTarget(url: string, tls: boolean | undefined): Target {
  const name = /^dns:\/\/[^/]*\/(.+)$/.exec(url)?.[1];
  if (name !== undefined) {
    if (!/:\d+$/.test(name)) throw new TypeError(`${JSON.stringify(url)} names no port; write ${url}:50051.`);
    return { address: url, cleartext: tls === false };
  }
  const parsed = URL.parse(url);
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new TypeError(
      `${JSON.stringify(url)} is no address; write https://host:port, http://host:port without TLS, or dns:///host:port.`,
    );
  }
  if (parsed.username !== '' || parsed.pathname !== '/' || parsed.search !== '' || parsed.hash !== '') {
    throw new TypeError(`The url ${parsed.protocol}//${parsed.host} has more than a host and a port.`);
  }
  const cleartext = parsed.protocol === 'http:';
  if (cleartext ? tls === true : tls === false) {
    throw new TypeError(`${JSON.stringify(url)} and tls: ${tls} contradict each other.`);
  }
  const port = parsed.port === '' ? (cleartext ? 80 : 443) : parsed.port;
  return { address: `dns:///${parsed.hostname}:${port}`, cleartext };
}
