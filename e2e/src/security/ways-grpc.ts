import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { bearer, publishClient } from '../grpc.ts';
import type { Ask, Heard, Way } from './way.ts';

/** A method of PublishService as a dynamic client has it. */
type Call = (
  request: object,
  metadata: Metadata,
  callback: (error: ServiceError | null, answer: unknown) => void,
) => void;

const metadataOf = (token: string | undefined): Metadata =>
  token === undefined ? new Metadata() : bearer(token);

/** Payloads as text. */
const write = (value: unknown): string =>
  JSON.stringify(value, (_, one) =>
    one?.type === 'Buffer' ? Buffer.from(one.data as number[]).toString() : one,
  );

const refused = ({ code, details, metadata }: ServiceError) => ({
  brief: `${code} ${metadata?.get('pushfleet-code')[0]}`,
  text: `${details} ${JSON.stringify(metadata?.getMap() ?? {})}`,
});

function unary(address: string, method: string, token: string | undefined, request: object): Promise<Heard> {
  const client = publishClient(address);
  return new Promise((resolve) => {
    const call = (client as unknown as Record<string, Call>)[method] as Call;
    call.call(client, request, metadataOf(token), (error, answer) => {
      client.close();
      const { brief, text } = error === null ? { brief: '0', text: write(answer) } : refused(error);
      resolve({ brief, text: () => text, close: () => {} });
    });
  });
}

async function subscribe(
  address: string,
  { token, topic, after = '', retained = false }: Ask,
): Promise<Heard> {
  const client = publishClient(address);
  const call = client.subscribe({ filters: [topic], after, retained }, metadataOf(token));
  const state: { brief?: string; text: string } = { text: '' };
  call.on('data', (response) => {
    state.brief ??= '0';
    state.text += write(response);
  });
  call.on('error', (error: ServiceError) => {
    const { brief, text } = refused(error);
    state.brief ??= brief;
    state.text += text;
  });
  await until(() => state.brief !== undefined, 'an answer of gRPC Subscribe');
  const close = (): void => {
    call.cancel();
    client.close();
  };
  return { brief: state.brief as string, text: () => state.text, close };
}

async function publishStream(address: string, { token, topic, text = '' }: Ask): Promise<Heard> {
  const client = publishClient(address);
  const call = client.publishStream(metadataOf(token));
  const state: { brief?: string; text: string } = { text: '' };
  call.on('data', (answer) => {
    state.text = write(answer);
    const code = /"code":"([a-z_]+)"/.exec(state.text)?.[1];
    state.brief ??= code === undefined ? '0' : `result ${code}`;
  });
  call.on('error', (error: ServiceError) => {
    const { brief, text: details } = refused(error);
    state.brief ??= brief;
    state.text += details;
  });
  call.write({ correlation: 1, draft: draftOf(topic, text) });
  await until(() => state.brief !== undefined, 'an answer of gRPC PublishStream');
  call.cancel();
  client.close();
  return { brief: state.brief as string, text: () => state.text, close: () => {} };
}

const draftOf = (topic: string, text: string) => ({
  topic,
  contentType: 'text/plain',
  payload: Buffer.from(text),
});

const grpc = { refusal: (code: string) => `${code === 'forbidden' ? 7 : 16} ${code}` };

export const grpcWays: readonly Way[] = [
  {
    ...grpc,
    name: 'gRPC Subscribe',
    right: 'subscribe',
    retains: true,
    resumes: true,
    enter: (site, ask) => subscribe(site.at('publish', 'grpc'), ask),
  },
  {
    ...grpc,
    name: 'gRPC ReadHistory',
    right: 'subscribe',
    resumes: true,
    enter: (site, { token, topic, after = '' }) =>
      unary(site.at('publish', 'grpc'), 'readHistory', token, { filters: [topic], after }),
  },
  {
    ...grpc,
    name: 'gRPC Publish',
    right: 'publish',
    enter: (site, { token, topic, text = '' }) =>
      unary(site.at('publish', 'grpc'), 'publish', token, { draft: draftOf(topic, text) }),
  },
  {
    name: 'gRPC PublishStream',
    right: 'publish',
    refusal: (code) => (code === 'forbidden' ? 'result forbidden' : grpc.refusal(code)),
    enter: (site, ask) => publishStream(site.at('publish', 'grpc'), ask),
  },
  {
    ...grpc,
    name: 'gRPC Delete',
    right: 'manage',
    exact: true,
    enter: (site, { token, topic }) => unary(site.at('publish', 'grpc'), 'delete', token, { topic }),
  },
  {
    ...grpc,
    name: 'gRPC Explain',
    right: 'manage',
    enter: (site, { token, topic }) =>
      unary(site.at('publish', 'grpc'), 'explain', token, { id: 'any', filter: topic }),
  },
];
