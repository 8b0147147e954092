/** A JSON Schema (2020-12): it checks requests, and describes requests and answers in the OpenAPI document. */
export interface Schema {
  readonly [keyword: string]: unknown;
}

export const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description });

export const count = (description: string): Schema => ({ type: 'integer', minimum: 0, description });

export const text = (description: string, rest: Schema = {}): Schema => ({
  type: 'string',
  description,
  ...rest,
});

/** An object of these fields and no others; those named are always there. */
export const object = (properties: Readonly<Record<string, Schema>>, ...required: string[]): Schema => ({
  type: 'object',
  properties,
  ...(required.length > 0 && { required }),
  additionalProperties: false,
});

/** An object as the fleet answers it: a later version may say more. */
export const answer = (properties: Readonly<Record<string, Schema>>, ...required: string[]): Schema => ({
  type: 'object',
  properties,
  ...(required.length > 0 && { required }),
});

/** How a cursor looks to who does not know what it means. */
export const cursorForm = '[0-9a-z]{1,16}-[0-9a-z]{1,11}-[0-9a-z_.]{1,900}(~[0-9a-z]{0,8})?';
