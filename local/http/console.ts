// Serves the console as CloudFront does: its files, the settings of the stage, and the rewrite of a page's address to its document.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { extname, join, relative } from 'node:path';
import { runInNewContext } from 'node:vm';
import { CLIENT_ID, type Issuer } from '../issuer.ts';
import { fileAnswer, for_ever } from './files.ts';
import { type HttpResponse, message } from './response.ts';

const paths = /^\/(console(\/.*)?|config\.json|finance\/withdrawals)$/;
const rewrite_file = join(import.meta.dirname, '../../infra/console-rewrite.js');
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

export interface ConsoleStage {
  stage: string;
  region: string;
  issuer: Pick<Issuer, 'url' | 'authorization_endpoint' | 'token_endpoint'>;
}
interface Redirect {
  statusCode: number;
  headers: Record<string, { value: string }>;
}
type Value = { value: string; multiValue?: { value: string }[] };
/** A function of CloudFront for what a viewer asks. */
type Rewrite = (event: {
  request: { method: string; uri: string; querystring: Record<string, Value> };
}) => { uri: string } | Redirect;

/** @returns undefined for what is not the console's: the routes answer. */
export function consoleFiles(
  folder: string,
  stage: ConsoleStage,
): (request: IncomingMessage) => HttpResponse | undefined {
  const files = existsSync(folder) ? read(folder) : new Map<string, Buffer>();
  files.set('/config.json', settings(files, stage));
  const rewrite = rewriteFunction();
  const headers = securityHeaders(new URL(stage.issuer.token_endpoint).origin);
  return (request) => {
    const [path = '/', query = ''] = (request.url ?? '/').split('?');
    if (!paths.test(path) || (request.method !== 'GET' && request.method !== 'HEAD')) return undefined;
    const asked = { method: request.method, uri: path, querystring: parameters(query) };
    const answer = rewrite({ request: asked });
    if ('statusCode' in answer) {
      const sent = Object.entries(answer.headers).map(([name, { value }]) => [name, value]);
      return { status: answer.statusCode, headers: Object.fromEntries(sent), body: '' };
    }
    const body = files.get(answer.uri);
    if (!body)
      return { ...message(404, 'Not Found'), headers: { 'content-type': 'application/json', ...headers } };
    return fileAnswer(request.headers, body, types[extname(answer.uri)] ?? 'application/octet-stream', {
      ...headers,
      'cache-control': answer.uri.startsWith('/console/assets/') ? for_ever : 'no-cache',
    });
  };
}

/** The very text that CloudFront runs. */
export function rewriteFunction(): Rewrite {
  return runInNewContext(`${readFileSync(rewrite_file, 'utf8')};handler`) as Rewrite;
}

function read(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return new Map(
    entries.map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [`/console/${relative(folder, file)}`, readFileSync(file)];
    }),
  );
}

/** What `/config.json` says; in AWS the deployment writes it. */
function settings(files: Map<string, Buffer>, { stage, region, issuer }: ConsoleStage): Buffer {
  const build = createHash('sha256')
    .update(files.get('/console/index.html') ?? '')
    .digest('hex')
    .slice(0, 12);
  const { url, authorization_endpoint, token_endpoint } = issuer;
  return Buffer.from(
    JSON.stringify({
      ...{ stage, build, region, issuer: url, client_id: CLIENT_ID },
      ...{ authorization_endpoint, token_endpoint, languages: ['en', 'tr'] },
    }),
  );
}

/** As the distribution's policy has them; there is no TLS here to insist on. */
function securityHeaders(signIn: string): Record<string, string> {
  return {
    'content-security-policy': `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; worker-src 'self'; connect-src 'self' ${signIn}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'`,
    'referrer-policy': 'no-referrer',
    'x-frame-options': 'DENY',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}

/** As CloudFront hands them over: each name once, nothing decoded. */
function parameters(query: string): Record<string, Value> {
  const found: Record<string, Value> = {};
  for (const part of query.split('&').filter(Boolean)) {
    const [name = '', ...rest] = part.split('=');
    const value = rest.join('=');
    const known = found[name];
    if (known) known.multiValue = [...(known.multiValue ?? [{ value: known.value }]), { value }];
    else found[name] = { value };
  }
  return found;
}
