import type { ServerWritableStream, StatusObject } from '@grpc/grpc-js';
import { type Cursor, type Item, PushfleetError, parseCursor, type TopicFilter } from '@pushfleet/core';
import type { CloseReason, Delivery, Encodable, Feed, Hub } from '@pushfleet/hub';
import type * as proto from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { type Deliveries, type TimerWheel, toGrpc } from '@pushfleet/runtime';
import { toProto } from './draft.ts';
import { draining } from './streams.ts';

type Call = ServerWritableStream<proto.SubscribeRequest, proto.SubscribeResponse>;

export interface SubscribeOptions {
  readonly wheel: TimerWheel;
  /** Most publications, and their most bytes, that wait for the subscriber. */
  readonly count: number;
  readonly bytes: number;
  readonly keepAliveMs: number;
  /** The hubs' observer. */
  readonly deliveries: Pick<Deliveries, 'writing'>;
}

/** What one turn takes from the feed, so that one subscriber does not hold up the others. */
const turn = { count: 64, bytes: 262_144 };

/** One Subscribe stream: a feed that is emptied as fast as the subscriber reads. */
export class Subscription {
  readonly #call: Call;
  readonly #options: SubscribeOptions;
  readonly #feed: Feed;
  #stopKeepAlive = () => {};
  #told: Cursor | undefined;
  #congested = false;
  #ended = false;

  constructor(call: Call, hub: Hub, options: SubscribeOptions) {
    this.#call = call;
    this.#options = options;
    this.#feed = hub.open({
      overflow: 'close',
      count: options.count,
      bytes: options.bytes,
      onReadable: () => this.#pump(),
      onClose: (reason) => this.end(statusOf(reason)),
    });
    call.on('drain', () => {
      this.#congested = false;
      this.#pump();
    });
  }

  /** Resolves once the subscription stands and its first response is on its way. @throws PushfleetError */
  async open(filters: readonly TopicFilter[], { after, retained }: proto.SubscribeRequest): Promise<void> {
    if (after !== '') parseCursor(after);
    await this.#feed.add(filters, { retained, ...(after === '' ? {} : { after: after as Cursor }) });
    this.#pump();
    this.#keepAlive();
  }

  /** Ends the call with the status; without one the subscriber has gone. */
  end(status?: StatusObject): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopKeepAlive();
    this.#feed.close();
    if (status !== undefined) this.#call.emit('error', status);
  }

  #pump(): void {
    if (this.#ended) return;
    // The first response says that the subscription stands, and from where.
    if (this.#told === undefined) this.#tell();
    while (!this.#congested) {
      const items = this.#feed.take(turn.count, turn.bytes);
      if (items.length === 0) return;
      const written = this.#options.deliveries.writing(items);
      for (const item of items) this.#write(toResponse(item));
      written?.();
    }
  }

  #keepAlive(): void {
    if (this.#ended) return;
    this.#stopKeepAlive = this.#options.wheel.after(this.#options.keepAliveMs, () => {
      if (!this.#congested && this.#feed.cursor !== this.#told) this.#tell();
      this.#keepAlive();
    });
  }

  #tell(): void {
    this.#write({ cursor: this.#feed.cursor, event: undefined });
  }

  #write(response: proto.SubscribeResponse): void {
    this.#told = response.cursor as Cursor;
    if (!this.#call.write(response)) this.#congested = true;
  }
}

const encode = ({ publication }: Encodable): proto.Publication => toProto(publication);

function toResponse(item: Item<Delivery>): proto.SubscribeResponse {
  if (item.kind === 'gap') {
    return { cursor: item.to, event: { $case: 'gap', gap: { from: item.from, to: item.to } } };
  }
  const { cursor, filters, retained } = item.value;
  const delivery = { publication: item.value.encoded(encode), filters: [...filters], retained };
  return { cursor, event: { $case: 'delivery', delivery } };
}

function statusOf(reason: CloseReason): StatusObject {
  if (reason.kind === 'draining') return toGrpc(draining());
  if (reason.kind === 'failed') return toGrpc(reason.error);
  const slow = toGrpc(
    new PushfleetError(
      'rate_limited',
      'This subscriber reads more slowly than its filters publish. Call again with "after" set to the last cursor received; nothing is lost that the log still holds.',
      { retryAfterMs: 1_000 },
    ),
  );
  // No request is refused with this, so it is no code of the fleet's errors; the edges close with the same word.
  slow.metadata.set('pushfleet-code', 'slow_consumer');
  return slow;
}
