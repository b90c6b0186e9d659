// Serves the files beside the API: the tracker, what pins it, and a page that uses it. Each has an ETag.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { HttpResponse } from './response.ts';

interface File {
  name: string;
  type: string;
  /** Its name changes with its content. */
  immutable?: boolean;
}

export const for_ever = 'public, max-age=31536000, immutable';
const script = 'text/javascript; charset=utf-8';

/** @returns undefined for what is no such file: the routes answer. */
export function staticFiles(folder: string): (request: IncomingMessage) => HttpResponse | undefined {
  const files = existsSync(join(folder, 'tracker.json')) ? filesOf(folder) : {};
  const read = new Map<string, Buffer>();
  return ({ method, url = '/', headers }) => {
    const file = files[url.split('?')[0] ?? ''];
    if (!file || (method !== 'GET' && method !== 'HEAD')) return undefined;
    const body = read.get(file.name) ?? readFileSync(join(folder, file.name));
    read.set(file.name, body);
    return fileAnswer(headers, body, file.type, {
      'cache-control': file.immutable ? for_ever : 'public, max-age=300',
      'access-control-allow-origin': '*', // a page that pins the script by its hash must be able to read it
    });
  };
}

/** The file with its ETag, or that the caller has it. */
export function fileAnswer(
  asked: IncomingMessage['headers'],
  body: Buffer,
  type: string,
  headers: Record<string, string>,
): HttpResponse {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`;
  const answered = { ...headers, etag, 'x-content-type-options': 'nosniff' };
  const known = asked['if-none-match']?.split(/\s*,\s*/).some((one) => one.replace(/^W\//, '') === etag);
  if (known) return { status: 304, headers: answered, body: '' };
  return { status: 200, headers: { ...answered, 'content-type': type }, body };
}

function filesOf(folder: string): Record<string, File> {
  const { version } = JSON.parse(readFileSync(join(folder, 'tracker.json'), 'utf8')) as { version: string };
  return {
    '/tracker.js': { name: 'tracker.js', type: script },
    [`/tracker-${version}.js`]: { name: 'tracker.js', type: script, immutable: true },
    '/tracker.json': { name: 'tracker.json', type: 'application/json' },
    '/example': { name: 'example.html', type: 'text/html; charset=utf-8' },
  };
}
