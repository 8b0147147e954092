import type { ServerUnaryCall } from '@grpc/grpc-js';
import { type Cursor, PushfleetError, parseCursor, parseTopic, parseTopicFilter } from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';
import type { Duration } from '@pushfleet/proto/google/protobuf/duration';
import type * as proto from '@pushfleet/proto/pushfleet/publish/v1/publish';
import type { Grant, TopicPolicy } from '@pushfleet/runtime';
import type { Archive } from '../archive/archive.ts';
import { checkAsk, type Explained, type Receiver } from '../archive/explain.ts';
import { checkHistory, checkLimit, type Placed, pageCount, weigh } from '../archive/history.ts';
import { readFilters } from '../filters.ts';
import { toProto } from './draft.ts';

/** The methods that read and change what is stored, as functions of a grant and a call. */
export class GrpcArchive {
  readonly #archive: Archive;
  readonly #outgoing: Budget;

  /** @param outgoing what all publications on their way out share, over HTTP and gRPC */
  constructor(archive: Archive, outgoing: Budget) {
    this.#archive = archive;
    this.#outgoing = outgoing;
  }

  async readHistory(
    grant: Grant,
    call: ServerUnaryCall<proto.ReadHistoryRequest, proto.ReadHistoryResponse>,
  ): Promise<proto.ReadHistoryResponse> {
    const { filters, after, since, pageSize } = call.request;
    const ask = checkHistory({
      filters: readFilters(grant, filters),
      after: cursorOf(after),
      since: timeOf(since),
      limit: checkLimit(pageSize === 0 ? pageCount.usual : pageSize),
    });
    const left = leftOf(call);
    const { publications, cursor, more, gap } = await this.#archive.history.read(grant, ask, left);
    // Who left is not told so again: nothing would give back what the page holds.
    left.throwIfAborted();
    this.#holdUntilWritten(
      call,
      publications.reduce((sum, { publication }) => sum + weigh(publication), 0),
    );
    return { publications: publications.map(placedProto), cursor, more, gap };
  }

  async delete(
    grant: Grant,
    { request }: ServerUnaryCall<proto.DeleteRequest, proto.DeleteResponse>,
  ): Promise<proto.DeleteResponse> {
    const { count } = await this.#archive.deleter.delete(
      grant,
      parseTopic(request.topic),
      cursorOf(request.cursor),
    );
    return { deleted: BigInt(count) };
  }

  async getTopic(
    grant: Grant,
    call: ServerUnaryCall<proto.GetTopicRequest, proto.GetTopicResponse>,
  ): Promise<proto.GetTopicResponse> {
    const topic = parseTopic(call.request.topic);
    const { topics } = this.#archive;
    if (!topics.may(grant, topic)) grant.require('subscribe', topic);
    const { policy, feeds, retained } = await topics.of(grant, topic, leftOf(call));
    return {
      topic,
      policy: policyProto(policy),
      feeds: Object.entries(feeds).map(([protocol, count]) => ({ protocol, feeds: BigInt(count) })),
      retained: retained && {
        id: retained.publication.id,
        publishTime: new Date(retained.publication.time),
        cursor: retained.cursor ?? '',
      },
    };
  }

  async explain(
    grant: Grant,
    call: ServerUnaryCall<proto.ExplainRequest, proto.ExplainResponse>,
  ): Promise<proto.ExplainResponse> {
    const { id, filter, since, cursor } = call.request;
    const ask = checkAsk({
      id,
      filter: parseTopicFilter(filter || '#'),
      since: timeOf(since),
      at: cursorOf(cursor),
    });
    const { search, publications } = await this.#archive.explainer.explain(grant, ask, leftOf(call));
    return {
      publications: publications.map(explainedProto),
      scanned: BigInt(search.scanned),
      searchedFrom: new Date(search.from),
      searchedTo: new Date(search.to),
      complete: search.complete,
    };
  }

  /**
   * The library says `cancelled` of every call at its end: when the caller or the connection is gone, and when the
   * trailers follow the last byte of the answer, which HTTP/2 holds back until the reader's window lets it go.
   *
   * @throws PushfleetError `unavailable` where too much is on its way
   */
  #holdUntilWritten(call: ServerUnaryCall<unknown, unknown>, bytes: number): void {
    this.#outgoing.hold(bytes);
    call.once('cancelled', () => this.#outgoing.release(bytes));
  }
}

/** Aborted when the caller leaves. */
function leftOf(call: ServerUnaryCall<unknown, unknown>): AbortSignal {
  const left = new AbortController();
  const leave = () => left.abort(new PushfleetError('timeout', 'The caller did not wait for the answer.'));
  if (call.cancelled) leave();
  else call.once('cancelled', leave);
  return left.signal;
}

/** Empty is absent. @throws PushfleetError `cursor_invalid` */
function cursorOf(text: string): Cursor | undefined {
  if (text === '') return undefined;
  parseCursor(text);
  return text as Cursor;
}

/** @throws PushfleetError `request_invalid` */
function timeOf(date: Date | undefined): number | undefined {
  const time = date?.getTime();
  // A timestamp may hold what no date does.
  if (time === undefined || time >= 0) return time;
  throw new PushfleetError('request_invalid', '"since" is a time from 1970 to 9999.');
}

const placedProto = ({ publication, cursor }: Placed): proto.StoredPublication => ({
  publication: toProto(publication),
  cursor,
});

function policyProto(policy: TopicPolicy): proto.TopicPolicy {
  const { filter = '', retentionMs, maxBytes, rate, history, presence } = policy;
  return {
    filter,
    retention: retentionMs === undefined ? undefined : durationOf(retentionMs),
    maxBytes: maxBytes === undefined ? undefined : BigInt(maxBytes),
    rate,
    history,
    presence,
  };
}

const durationOf = (ms: number): Duration => ({
  seconds: BigInt(Math.floor(ms / 1_000)),
  nanos: Math.round((ms % 1_000) * 1e6),
});

function explainedProto({ publication, cursor, retained, receivers }: Explained): proto.ExplainedPublication {
  return {
    publication: { ...toProto(publication), payload: Buffer.alloc(0), attributes: [] },
    payloadBytes: BigInt(publication.payload.length),
    cursor,
    shard: publication.shard,
    sequence: BigInt(publication.sequence),
    retained,
    receivers: receivers.map(receiverProto),
  };
}

function receiverProto({ instance, service, protocol = '', ...told }: Receiver): proto.Receiver {
  const feeds = {
    ...{ instance, service, protocol },
    remembered: told.remembered,
    filters: told.filters.map(({ filter, feeds: count }) => ({ filter, feeds: BigInt(count) })),
    matched: BigInt(told.matched),
    delivered: BigInt(told.delivered),
    pending: BigInt(told.pending),
    dropped: BigInt(told.dropped),
  };
  return { kind: { $case: 'feeds', feeds } };
}
