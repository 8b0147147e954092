interface Target {
  readonly visibilityState?: string;
  addEventListener?(event: string, handler: () => void): void;
  removeEventListener?(event: string, handler: () => void): void;
}

/**
 * Hears, in browsers, that the network is back or that the page is looked at again. Elsewhere nothing tells.
 *
 * @returns a function that ends it
 */
export function onWake(wake: () => void): () => void {
  const scope = globalThis as Target & { readonly document?: Target };
  const { document } = scope;
  const seen = () => {
    if (document?.visibilityState === 'visible') wake();
  };
  scope.addEventListener?.('online', wake);
  document?.addEventListener?.('visibilitychange', seen);
  return () => {
    scope.removeEventListener?.('online', wake);
    document?.removeEventListener?.('visibilitychange', seen);
  };
}
