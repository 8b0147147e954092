import { PushfleetError, quote } from '@pushfleet/core';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import type { Schema } from './schema/json-schema.ts';

// RFC 3339 section 5.6, and a day and time that there are.
const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const isTime = (text: string): boolean => rfc3339.test(text) && !Number.isNaN(Date.parse(text.toUpperCase()));

const ajv = new Ajv2020({
  verbose: true,
  allowUnionTypes: true,
  strictRequired: false,
  formats: { 'date-time': isTime },
});

/**
 * A check of request bodies against a schema of the OpenAPI document.
 *
 * @returns what gives the body back as T, and throws PushfleetError `request_invalid` where it is not as the schema says
 */
export function bodyCheck<T>(schema: Schema): (body: unknown) => T {
  const valid = ajv.compile<T>(schema);
  return (body) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new PushfleetError('request_invalid', 'The body is a JSON object.');
    }
    if (valid(body)) return body as T;
    throw new PushfleetError(
      'request_invalid',
      complaint((valid.errors as ErrorObject[]).at(-1) as ErrorObject),
    );
  };
}

/** What is wrong, with which field, and what it should be. No value is shown: it may be a secret. */
function complaint({ instancePath, keyword, message, params, parentSchema }: ErrorObject): string {
  const field = instancePath.slice(1).replaceAll('~1', '/').replaceAll('~0', '~');
  const { description, properties } = (parentSchema ?? {}) as {
    readonly description?: string;
    readonly properties?: object;
  };
  switch (keyword) {
    case 'additionalProperties':
      return `${quote(String(params.additionalProperty))} is no field; there are ${Object.keys(properties ?? {}).join(', ')}.`;
    case 'oneOf':
    case 'not':
      return String(description);
    case 'propertyNames':
      return `${quote(String(params.propertyName))} is not the name of a header.`;
    case 'enum':
      return `"${field}" is one of ${(params.allowedValues as unknown[]).join(', ')}.`;
    case 'pattern':
      return `"${field}" does not have the form that is asked for. ${description ?? ''}`.trimEnd();
    default: {
      const what = field === '' ? 'The body' : `"${field}"`;
      return `${what} ${message}. ${description ?? ''}`.trimEnd();
    }
  }
}
