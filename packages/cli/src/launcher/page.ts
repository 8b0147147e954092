import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { PushfleetError, quote } from '@pushfleet/core';
import { sendProblem } from '@pushfleet/runtime';
import { type PageToken, refusePageToken } from './page-token.ts';

export interface PageOptions {
  /** Makes a token for the page; absent: the page asks its reader for one. */
  readonly token: (() => Promise<PageToken>) | undefined;
}

/** Folders whose files the page may have, by the path that they are served below. */
const folders: Readonly<Record<string, URL>> = {
  '/page/client/': new URL('../../../client/src/', import.meta.url),
  '/page/': new URL('./page/', import.meta.url),
};
const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  ts: 'text/javascript; charset=utf-8',
};
/** What a file may be called: no dots but the last, so that no path leads out of its folder. */
const fileName = /^(?:[a-z0-9-]+\/)*[a-z0-9-]+\.(css|svg|ts)$/;
const tokenPath = '/page/token';

/**
 * The page at the front's `/`, as it lies in `page/`: its modules and those of @pushfleet/client are served with
 * their types erased, so there is nothing to build.
 */
export class Page {
  readonly #options: PageOptions;
  readonly #files = new Map<string, Promise<string>>();

  constructor(options: PageOptions) {
    this.#options = options;
  }

  /** Answers what belongs to the page; false where the request is somebody else's. */
  take(request: IncomingMessage, answer: ServerResponse): boolean {
    const path = (request.url ?? '/').split('?', 1)[0] as string;
    if (path !== '/' && !path.startsWith('/page/')) return false;
    const answered = path === tokenPath ? this.#token(request, answer) : this.#file(path, request, answer);
    answered.catch((thrown: unknown) => sendProblem(answer, thrown));
    return true;
  }

  async #token(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    requireMethod(request, answer, 'POST');
    refusePageToken(request.headers);
    if (this.#options.token === undefined) {
      throw new PushfleetError(
        'not_found',
        'This front hands out no tokens; "npx pushfleet token" makes one.',
      );
    }
    const body = JSON.stringify(await this.#options.token());
    answer
      .writeHead(200, { ...guards, 'content-type': 'application/json', 'cache-control': 'no-store' })
      .end(body);
  }

  async #file(path: string, request: IncomingMessage, answer: ServerResponse): Promise<void> {
    requireMethod(request, answer, 'GET', 'HEAD');
    let reading = this.#files.get(path);
    if (reading === undefined) {
      reading = read(path);
      this.#files.set(path, reading);
      // Names that anybody makes up are not remembered.
      reading.catch(() => this.#files.delete(path));
    }
    const text = await reading;
    const type = types[extensionOf(path)] as string;
    answer.writeHead(200, {
      ...guards,
      ...(path === '/' && { 'content-security-policy': contentPolicy(text) }),
      'content-type': type,
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-cache',
    });
    answer.end(request.method === 'HEAD' ? undefined : text);
  }
}

/** For every answer: it is read as what it says it is, and by pages of this origin alone. */
const guards: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

const extensionOf = (path: string): string => (path === '/' ? 'html' : path.slice(path.lastIndexOf('.') + 1));

/** @throws PushfleetError `not_found` */
async function read(path: string): Promise<string> {
  if (path === '/') return readFile(new URL('./page/index.html', import.meta.url), 'utf8');
  const [prefix, folder] = Object.entries(folders).find(([start]) => path.startsWith(start)) as [string, URL];
  const name = path.slice(prefix.length);
  if (!fileName.test(name)) throw notFound(path);
  const text = await readFile(new URL(name, folder), 'utf8').catch(() => {
    throw notFound(path);
  });
  return name.endsWith('.ts') ? eraseTypes(text) : text;
}

/** What Node does to the services' own files. Its word that this may change is not for whoever called `npm start`. */
function eraseTypes(text: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

const notFound = (path: string): PushfleetError =>
  new PushfleetError('not_found', `The page has no ${quote(path)}.`);

// An import map can only stand in the page itself: its hash lets this one script in, and no other.
function contentPolicy(html: string): string {
  const inline = /<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? '';
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash('sha256', inline, 'base64')}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

function requireMethod(request: IncomingMessage, answer: ServerResponse, ...methods: string[]): void {
  if (methods.includes(request.method ?? '')) return;
  answer.setHeader('allow', methods.join(', '));
  throw new PushfleetError('method_not_allowed', `Use ${methods.join(' or ')} here.`);
}
