import { buffer } from 'node:stream/consumers';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { PushfleetError, parseTopic } from '@pushfleet/core';
import type { PublishRequest, Receipt } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { Draft, PublishServiceClient } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { fromGrpc } from '@pushfleet/runtime';
import type { Command } from 'commander';
import { serviceAddress } from '../local-fleet.ts';
import { mint } from '../mint.ts';
import { type CommonOptions, command } from './options.ts';

interface PublishOptions extends CommonOptions {
  readonly id?: string;
  readonly type?: string;
  readonly contentType?: string;
  readonly retain: boolean;
  readonly ns?: string;
  readonly grpc?: string;
}

const examples = `
Without a payload, or with -, standard input is read to its end.

Examples:
  npx pushfleet publish demo/hello 'Hello, fleet'
  npx pushfleet publish orders/42 --content-type application/json < order.json`;

export function publishCommand(): Command {
  return command('publish', 'Publish to a topic over gRPC; ends when the log holds it.')
    .argument('<topic>', 'a topic such as orders/42')
    .argument('[payload]', 'text to publish')
    .option('--id <id>', 'makes a retry recognisable (absent: one is made up)')
    .option('--type <type>', 'what happened, as a CloudEvents type')
    .option(
      '--content-type <type>',
      'media type of the payload (absent: text/plain; bytes from standard input: application/octet-stream)',
    )
    .option('--retain', "keep it as the topic's retained publication", false)
    .option('--ns <namespace>', 'the namespace of the token that is made (absent: default)')
    .option(
      '--grpc <address>',
      'another fleet: host:port in cleartext, or https://host:port (absent: the local fleet)',
    )
    .addHelpText('after', examples)
    .action(publish);
}

async function publish(topic: string, text: string | undefined, o: PublishOptions): Promise<void> {
  // A topic that is none would else be told as a fault of the token made for it.
  parseTopic(topic);
  const fromInput = text === undefined || text === '-';
  const payload = fromInput ? await buffer(process.stdin) : Buffer.from(text);
  const draft = Draft.fromPartial({
    topic,
    payload,
    contentType: o.contentType ?? (fromInput ? 'application/octet-stream' : 'text/plain; charset=utf-8'),
    retain: o.retain,
    ...(o.id !== undefined && { id: o.id }),
    ...(o.type !== undefined && { type: o.type }),
  });
  const claims = { sub: 'pushfleet-cli', ns: o.ns, publish: [topic] };
  const token = process.env.PUSHFLEET_TOKEN || (await mint(o.state, claims, 60)).token;
  const receipt = await send(o.grpc ?? serviceAddress(o.state, 'publish', 'grpc'), token, { draft });
  if (o.json) console.log(JSON.stringify(receipt));
  else console.log(`${receipt.duplicate ? 'held before' : 'stored'}: ${receipt.topic}, id ${receipt.id}`);
}

/** How long the fleet may take before the command gives up. */
const patienceMs = 30_000;

function send(address: string, token: string, request: PublishRequest): Promise<Receipt> {
  const secure = address.startsWith('https://');
  const target = address.replace(/^https?:\/\//, '');
  const client = new PublishServiceClient(
    target,
    secure ? credentials.createSsl() : credentials.createInsecure(),
  );
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const deadline = Date.now() + patienceMs;
  return new Promise<Receipt>((resolve, reject) => {
    client.publish(request, metadata, { deadline }, (error: ServiceError | null, response) => {
      if (error !== null) reject(told(error, target));
      else resolve(response.receipt as Receipt);
    });
  }).finally(() => client.close());
}

/** What the fleet says stands as it is; what grpc-js says of a connection is made readable. */
function told(error: ServiceError, target: string): PushfleetError {
  const why = /connect [A-Z]+|Name resolution failed/.exec(error.details)?.[0];
  if (why === undefined) return fromGrpc(error);
  return new PushfleetError('unavailable', `No fleet answers gRPC at ${target}: ${why}.`, { cause: error });
}
