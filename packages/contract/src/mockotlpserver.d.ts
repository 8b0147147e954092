// The package brings no types.
declare module '@elastic/mockotlpserver' {
  export class MockOtlpServer {
    readonly httpUrl: URL;
    readonly grpcUrl: URL;
    constructor(
      options: Readonly<Record<string, unknown>> & { readonly onTrace: (request: unknown) => void },
    );
    start(): Promise<void>;
    close(): Promise<void>;
  }
  // biome-ignore lint/suspicious/noExplicitAny: what it gives is described where it is read
  export function normalizeTrace(request: unknown, options?: object): any;
}
