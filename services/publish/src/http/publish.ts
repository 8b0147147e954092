import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  decodeCloudEvent,
  decodeCloudEventBatch,
  eventBatchMediaType,
  eventMediaType,
  PushfleetError,
  parseTopic,
} from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';
import { type Intake, requirePublish, type Submission } from '@pushfleet/intake';
import { type Grant, namedTopic, parseTarget, requireJson, topicOf } from '@pushfleet/runtime';
import { resultOf, sendJson } from './answer.ts';
import { readBody } from './body.ts';
import { readHeaders } from './draft.ts';
import { contentMode, readBinaryEvent, refuseHeaders, submissionOf } from './event.ts';
import { readBatch } from './json-draft.ts';

export interface PublishingOptions {
  readonly intake: Pick<Intake, 'publish'>;
  readonly budget: Budget;
  /** Largest body of one publication, and of a batch or an event in JSON, in bytes. */
  readonly payloadBytes: number;
  readonly batchBytes: number;
  /** Longest time a body may take, in milliseconds. */
  readonly bodyTimeoutMs: number;
}

/** What POST accepts, for `Accept-Post` (W3C Linked Data Platform 1.0 section 7.1). A topic takes any payload. */
export const accepted = {
  byTopics: `${eventMediaType}, */*`,
  byPublish: `application/json, ${eventMediaType}, ${eventBatchMediaType}`,
} as const;

/** What POST takes in: a payload with headers, JSON drafts, and CloudEvents in each of their content modes. */
export class Publishing {
  readonly #options: PublishingOptions;

  constructor(options: PublishingOptions) {
    this.#options = options;
  }

  /** `POST /v1/topics/<topic>`, and `POST /v1/topics`, where an event's subject is the topic. */
  async toTopic(grant: Grant, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = parseTarget(request.url ?? '');
    const topic = namedTopic(target);
    // Checked before the body is asked for: a large one need not travel to be refused.
    if (topic !== undefined) requirePublish(grant, parseTopic(topic));
    switch (contentMode(request)) {
      case 'none':
        return this.#verbatim(grant, { ...readHeaders(request), topic: topicOf(target) }, request, response);
      case 'binary':
        return this.#verbatim(grant, readBinaryEvent(request, topic), request, response);
      case 'structured':
        return this.#structured(grant, topic, request, response);
      case 'batch':
        throw new PushfleetError(
          'unsupported_media_type',
          'A topic takes one event; send a batch of CloudEvents to /v1/publish.',
        );
    }
  }

  /** `POST /v1/publish`: many drafts or events, or one event. */
  async toAny(grant: Grant, request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (contentMode(request)) {
      case 'none': {
        requireJson(request);
        const drafts = readBatch(await this.#read(request, response, this.#options.batchBytes));
        return this.#answerEach(grant, drafts, response);
      }
      case 'binary':
        return this.#verbatim(grant, readBinaryEvent(request, undefined), request, response);
      case 'structured':
        return this.#structured(grant, undefined, request, response);
      case 'batch': {
        refuseHeaders(request);
        const events = decodeCloudEventBatch(await this.#read(request, response, this.#options.batchBytes));
        return this.#answerEach(grant, events.map(orError), response);
      }
    }
  }

  /** A publication whose payload is the body. */
  async #verbatim(
    grant: Grant,
    said: Omit<Submission, 'payload'>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    requirePublish(grant, parseTopic(said.topic));
    const payload = await this.#read(request, response, this.#options.payloadBytes);
    await this.#answerOne(grant, { ...said, payload }, response);
  }

  async #structured(
    grant: Grant,
    topic: string | undefined,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const headers = readHeaders(request);
    // The event around a payload, and base64, take more room than the payload; the intake measures that.
    const event = decodeCloudEvent(await this.#read(request, response, this.#options.batchBytes));
    await this.#answerOne(grant, submissionOf(event, topic, headers), response);
  }

  async #answerOne(grant: Grant, submission: Submission, response: ServerResponse): Promise<void> {
    const [answer] = await this.#options.intake.publish(grant, [submission]);
    if (answer === undefined || answer instanceof PushfleetError) throw answer;
    sendJson(response, 201, answer);
  }

  async #answerEach(
    grant: Grant,
    submissions: readonly (Submission | PushfleetError)[],
    response: ServerResponse,
  ): Promise<void> {
    const answers = await this.#options.intake.publish(grant, submissions);
    sendJson(response, 200, answers.map(resultOf));
  }

  #read(request: IncomingMessage, response: ServerResponse, bytes: number): Promise<Buffer> {
    const { budget, bodyTimeoutMs: timeoutMs } = this.#options;
    return readBody(request, response, { bytes, timeoutMs, budget });
  }
}

function orError(event: ReturnType<typeof decodeCloudEventBatch>[number]): Submission | PushfleetError {
  if (event instanceof PushfleetError) return event;
  try {
    return submissionOf(event, undefined);
  } catch (error) {
    return PushfleetError.from(error);
  }
}
