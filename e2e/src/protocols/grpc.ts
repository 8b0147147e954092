import type { ServiceError } from '@grpc/grpc-js';
import { comesBack, type EdgeProtocol, type Line, Refused } from '@pushfleet/contract/edge-suite';
import { bearer, publishClient } from '../grpc.ts';

interface Response {
  readonly cursor: string;
  readonly event?: 'delivery' | 'gap';
  readonly delivery?: {
    readonly retained: boolean;
    readonly publication: {
      readonly id: string;
      readonly source: string;
      readonly topic: string;
      readonly payload: Buffer;
    };
  };
  readonly gap?: { readonly from: string; readonly to: string };
}

/** gRPC Subscribe by `@grpc/grpc-js`, its methods from the .proto file. */
export const grpc: EdgeProtocol = {
  name: 'gRPC Subscribe',
  service: 'publish',
  pulls: false,
  cursors: true,
  async connect(address, { token, filters, after = '', retained = false }, on): Promise<Line> {
    const client = publishClient(address);
    const call = client.subscribe<Response>({ filters, after, retained }, bearer(token));
    const { promise: stands, resolve, reject } = Promise.withResolvers<void>();
    call.on('data', ({ cursor, event, delivery, gap }: Response) => {
      if (delivery != null && event === 'delivery') {
        const { id, source, topic, payload } = delivery.publication;
        const value = { id, source, topic, text: payload.toString(), retained: delivery.retained };
        on({ kind: 'publication', value, cursor });
      } else if (gap != null && event === 'gap') on({ kind: 'gap', ...gap });
      else on({ kind: 'place', cursor });
      resolve();
    });
    call.on('error', (error: ServiceError) => {
      const code = String(error.metadata?.get('pushfleet-code')[0] ?? 'cut');
      reject(new Refused(code, error.details));
      on({ kind: 'end', code, reconnect: comesBack(code) });
      client.close();
    });
    await stands;
    return {
      close: () => {
        call.cancel();
        client.close();
      },
      pause: () => void call.pause(),
      resume: () => void call.resume(),
    };
  },
};
