import { type ASTNode, Environment, EvaluationError } from '@marcbachmann/cel-js';
import { defaultType, type Publication, PushfleetError, quote } from '@pushfleet/core';

export type Judge = (publication: Publication) => boolean;

/** Longest expression, in characters. */
export const expressionLength = 1_024;
const mostNodes = 128;
const mostDepth = 32;

/** What an expression speaks of: words of the fleet, and of the CloudEvents that receivers are sent. */
const variables: Readonly<Record<string, string>> = {
  id: 'string',
  source: 'string',
  type: 'string',
  topic: 'string',
  subject: 'string',
  contentType: 'string',
  datacontenttype: 'string',
  time: 'google.protobuf.Timestamp',
  attributes: 'map<string, string>',
};

// CEL's word for the type of types cannot be a variable of this library: the variable goes by a name of its length.
const typeStandIn = 'kind';

/** None repeats anything, matches a regular expression or counts the characters of a text: the cost stays small. */
const functions = new Set([
  'has',
  'int',
  'double',
  'string',
  'timestamp',
  'startsWith',
  'endsWith',
  'contains',
  'lowerAscii',
  'upperAscii',
  'trim',
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfWeek',
  'getHours',
  'getMinutes',
]);

const environment = new Environment({
  limits: { maxAstNodes: mostNodes, maxDepth: mostDepth, maxListElements: mostNodes },
});
for (const [name, type] of Object.entries(variables)) {
  environment.registerVariable(name === 'type' ? typeStandIn : name, type);
}

/** @throws PushfleetError `request_invalid`, saying what is wrong and at which character */
export function compileExpression(expression: string, failed: (error: unknown) => void): Judge {
  if (expression.length > expressionLength) {
    throw refused(`has ${expression.length} characters; at most ${expressionLength} are allowed`);
  }
  const judge = compile(expression);
  return (publication) => {
    const { stackTraceLimit } = Error;
    // An attribute that is absent is an error within the library; to draw its stack would cost most of the time.
    Error.stackTraceLimit = 0;
    try {
      return judge(viewOf(publication)) === true;
    } catch (error) {
      if (!(error instanceof EvaluationError && error.code === 'no_such_key')) failed(error);
      return false;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  };
}

function compile(expression: string): ReturnType<typeof parse> {
  const places: number[] = [];
  checkNode(parse(expression).ast, places);
  const judge = parse(renameType(expression, places));
  const { valid, type, error } = judge.check();
  if (!valid) throw complaint(error);
  if (type !== 'bool') {
    throw refused(`gives a ${type}; it must be true or false, such as type == "order.created"`);
  }
  return judge;
}

function parse(expression: string): ReturnType<Environment['parse']> {
  try {
    return environment.parse(expression);
  } catch (error) {
    throw complaint(error);
  }
}

function renameType(expression: string, places: readonly number[]): string {
  let renamed = expression;
  for (const at of places) {
    renamed = renamed.slice(0, at) + typeStandIn + renamed.slice(at + typeStandIn.length);
  }
  return renamed;
}

/** Refuses what is not of the language above, and notes where the variable `type` stands. */
function checkNode(node: ASTNode, places: number[]): void {
  if (node.op === 'id') checkVariable(node.args, node.start);
  if (node.op === 'id' && node.args === 'type') places.push(node.start);
  if (node.op === 'call' || node.op === 'rcall') checkFunction(node.args[0], node.start);
  for (const child of childrenOf(node)) checkNode(child, places);
}

function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
      return [node.args[0]];
    case '!_':
    case '-_':
      return [node.args];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'map':
    case '.?':
    case '[?]':
      throw refused('can have lists, and no maps of its own or optional values', node.start);
    default:
      return node.args;
  }
}

function checkVariable(name: string, at: number): void {
  if (Object.hasOwn(variables, name)) return;
  throw refused(`has no ${quote(name)}; there are ${Object.keys(variables).join(', ')}`, at);
}

function checkFunction(name: string, at: number): void {
  if (functions.has(name)) return;
  throw refused(`has no function ${quote(name)}; there are ${[...functions].join(', ')}`, at);
}

interface View {
  readonly [name: string]: unknown;
}

/** Many expressions are asked about one publication. */
const views = new WeakMap<Publication, View>();

function viewOf(publication: Publication): View {
  let view = views.get(publication);
  if (view === undefined) {
    view = toView(publication);
    views.set(publication, view);
  }
  return view;
}

function toView({ id, source, type, topic, contentType, time, attributes }: Publication): View {
  return {
    id,
    source,
    [typeStandIn]: type ?? defaultType,
    topic,
    subject: topic,
    contentType,
    datacontenttype: contentType,
    time: new Date(time),
    attributes: new Map(attributes),
  };
}

/** What the library says, without its drawing of the place. */
function complaint(error: unknown): PushfleetError {
  const { code, summary, range } = error as {
    readonly code?: string;
    readonly summary?: string;
    readonly range?: { readonly start: number };
  };
  if (summary === undefined) return PushfleetError.from(error);
  if (code === 'limit_exceeded') {
    return refused(`is too large; at most ${mostNodes} parts, nested ${mostDepth} deep, are allowed`);
  }
  return refused(`is not understood: ${summary}`, range?.start);
}

const refused = (what: string, at?: number): PushfleetError =>
  new PushfleetError(
    'request_invalid',
    `The expression ${what}${at === undefined ? '' : ` (character ${at + 1})`}.`,
  );
