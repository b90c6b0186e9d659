// The HTTP client of the operator's commands: base URL, bearer token, JSON, and errors as one sentence.
import { Failure } from './command.ts';
import type { Target } from './target.ts';

const TIMEOUT_MS = 60_000;

export type Api = {
  get: <T>(path: string) => Promise<T>;
  send: <T>(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<T>;
};

/** The cause of a request that got no answer, in words. */
export function noAnswer(url: string, error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  const code = cause?.code;
  if (code === 'ECONNREFUSED') {
    return `No stack answers at ${url}: start one with npm start or pass --url.`;
  }
  if ((error as Error).name === 'TimeoutError' || (error as Error).name === 'AbortError') {
    return `The stack at ${url} did not answer within ${TIMEOUT_MS / 1000} seconds.`;
  }
  return `The stack at ${url} could not be reached (${code ?? cause?.message ?? (error as Error).message}).`;
}

/** `{ok:false, error, code, request_id}` as a sentence; also for an answer that is no JSON at all. */
export function refusal(status: number, body: unknown): string {
  const { error, code, request_id } = (typeof body === 'object' && body !== null ? body : {}) as {
    error?: unknown;
    code?: unknown;
    request_id?: unknown;
  };
  const details = [`HTTP ${status}`];
  if (typeof code === 'string') details.push(`code ${code}`);
  if (typeof request_id === 'string') details.push(`request ${request_id}`);
  const sentence = typeof error === 'string' && error !== '' ? error : 'no reason given';
  return `The stack refused: ${sentence.replace(/[.\s]+$/, '')} (${details.join(', ')}).`;
}

export function parseBody(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

export type Answer = { status: number; headers: Headers; body: unknown };

export function requireToken({ url, token }: Target): string {
  if (token) return token;
  throw new Failure(`No admin token is known for ${url}: pass --token or set KERNEL_TOKEN.`);
}

/** One request and its whole answer, whatever its status; only a request without an answer fails. */
export async function exchange(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<Answer> {
  const init: RequestInit = { method, headers: { accept: 'application/json', ...headers } };
  if (body !== undefined) {
    init.headers = { ...init.headers, 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { status: response.status, headers: response.headers, body: parseBody(await response.text()) };
  } catch (error) {
    throw new Failure(noAnswer(url, error));
  }
}

export function createApi(target: Target): Api {
  async function call<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const all = { ...headers, authorization: `Bearer ${requireToken(target)}` };
    const { status, body: parsed } = await exchange(target.url, method, path, all, body);
    if (status < 200 || status > 299) throw new Failure(refusal(status, parsed));
    if (typeof parsed !== 'object' || parsed === null) {
      throw new Failure(`The stack at ${target.url} answered ${path} with something that is not JSON.`);
    }
    return parsed as T;
  }
  return { get: (path) => call('GET', path), send: call };
}
