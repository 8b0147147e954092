import { connectJetStream } from '@pushfleet/bus';
import { runService } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { name, wireDeliveryWebSub } from './wire.ts';

await runService({
  name,
  fields,
  wire(config, context) {
    const creds = config.natsCreds === undefined ? {} : { creds: config.natsCreds };
    const backbone = connectJetStream({ servers: config.natsUrl, name, log: context.log, ...creds });
    return wireDeliveryWebSub(config, context, backbone);
  },
});
