import { connect } from '@pushfleet/publisher';
import { filler, type PackageSpec, type Source, topicsFrom } from './spec.ts';

/** Publishes with the package that services use, which makes batches of its own. */
export async function openPackage(spec: PackageSpec, firstTopic: number): Promise<Source> {
  const publisher = connect({ url: `http://${spec.address}`, token: spec.token });
  const topics = topicsFrom(firstTopic);
  return {
    window: spec.window,
    async send() {
      await publisher.publish(`bench/${topics.next().value}`, filler, { contentType: 'text/plain' });
      return 1;
    },
  };
}
