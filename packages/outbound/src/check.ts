import { PushfleetError } from '@pushfleet/core';
import type { OutboundConfig } from './config.ts';
import { parseTarget, Refusal } from './target.ts';

/**
 * What can be said of an address before it is called, for who stores addresses and calls none: scheme, userinfo, port,
 * a literal that is never called. The function throws PushfleetError `target_refused`.
 */
export function createCheck({
  outboundAllow: allow,
  outboundPorts: ports,
}: Pick<OutboundConfig, 'outboundAllow' | 'outboundPorts'>): (url: string) => void {
  return (url) => {
    try {
      parseTarget(url, { allow, ports });
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      throw new PushfleetError('target_refused', thrown.message, { detail: { rule: thrown.rule } });
    }
  };
}
