import { connectJetStream } from '@pushfleet/bus';
import { runService } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { wireRegistry } from './wire.ts';

await runService({
  name: 'registry',
  fields,
  wire(config, context) {
    const creds = config.natsCreds === undefined ? {} : { creds: config.natsCreds };
    const options = { servers: config.natsUrl, name: 'registry', log: context.log, ...creds };
    return wireRegistry(config, context, connectJetStream(options));
  },
});
