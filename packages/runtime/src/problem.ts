import type { ServerResponse } from 'node:http';

/** An HTTP answer that says what went wrong: RFC 9457 problem details. */
export interface Problem {
  readonly status: number;
  /** Content-Type, and Retry-After or WWW-Authenticate where they apply. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON: type, title, status, detail, code, instance and the error's detail fields. */
  readonly body: string;
}

/** Whatever was thrown as a problem; what is no PushfleetError becomes `internal` and says nothing of itself. */
export function problem(_thrown: unknown, _instance?: string): Problem {
  throw new Error('not yet');
}

/** Answers with the problem, or destroys the response where its head has gone already. */
export function sendProblem(_response: ServerResponse, _thrown: unknown, _instance?: string): void {
  throw new Error('not yet');
}
