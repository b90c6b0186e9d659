// Calls the HTTP contract, typed by method and path; what is refused becomes an ApiError.

import { expired, session } from '../session/session.ts';
import { reach } from './connection.ts';
import type { Operations } from './contract.gen.ts';

export type * from './contract.gen.ts';
export type Name = keyof Operations & string;
export type Reads = Extract<Name, `GET ${string}`>;
export type Answer<Op extends Name> = Operations[Op]['answer'];

type Part<Field extends string, Value> = [Value] extends [undefined]
  ? { readonly [F in Field]?: undefined }
  : Record<string, never> extends Value
    ? { readonly [F in Field]?: Value | undefined }
    : { readonly [F in Field]: Value };
/** What an operation takes; a query may hold undefined and '' for "not asked". */
export type Call<Op extends Name> = Part<'path', Operations[Op]['path']> &
  Part<'query', Loose<Operations[Op]['query']>> &
  Part<'headers', Operations[Op]['headers']> &
  Part<'body', Operations[Op]['body']>;
type Loose<Query> = Query extends undefined
  ? undefined
  : { [Key in keyof Query]: Query[Key] | undefined | '' };
type Given<Op extends Name> = Record<string, never> extends Call<Op> ? [call?: Call<Op>] : [call: Call<Op>];

/** A refusal of the kernel, or of the gateway in front of it. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly request_id: string | undefined;
  readonly retry_after_s: number | undefined;

  constructor(status: number, code: string, message: string, request_id?: string, retry_after_s?: number) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.request_id = request_id;
    this.retry_after_s = retry_after_s;
  }
}

/** `call('GET /api/sites/{ref}/usage', { path: { ref }, query: { month } })`. Text answers are strings. */
export async function call<Op extends Name>(operation: Op, ...[call]: Given<Op>): Promise<Answer<Op>> {
  const response = await send(operation, call as Call<Op>);
  const isJson = response.headers.get('content-type')?.includes('json');
  return (isJson ? await response.json() : await response.text()) as Answer<Op>;
}

/** The answer itself, where its headers matter. @throws ApiError, NetworkError */
export async function send<Op extends Name>(operation: Op, call?: Call<Op>): Promise<Response> {
  const { method, url } = address(operation, call);
  const token = session.get().session?.token;
  const headers: Record<string, string> = {
    ...(call?.headers as Record<string, string> | undefined),
    ...(token && { authorization: `Bearer ${token}` }),
    ...(call?.body !== undefined && { 'content-type': 'application/json' }),
  };
  const response = await reach(url, {
    method,
    headers,
    ...(call?.body !== undefined && { body: JSON.stringify(call.body) }),
  });
  if (!response.ok) throw await refusal(response, token);
  return response;
}

/** The method and path with its parameters, as `curl` would need it. */
export function address<Op extends Name>(operation: Op, call?: Call<Op>): { method: string; url: string } {
  const [method = 'GET', template = ''] = operation.split(' ');
  const path = (call?.path ?? {}) as Record<string, string>;
  const url = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ''));
  const asked = Object.entries((call?.query ?? {}) as Record<string, unknown>)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => [name, String(value)]);
  const query = new URLSearchParams(asked).toString();
  return { method, url: query ? `${url}?${query}` : url };
}

async function refusal(response: Response, token: string | undefined): Promise<ApiError> {
  const { status, headers } = response;
  const body = (await response.json().catch(() => ({}))) as Record<string, string | undefined>;
  if (status === 401 && token) expired(token);
  const after = Number(headers.get('retry-after') ?? Number.NaN);
  return new ApiError(
    status,
    body.code ?? `http_${status}`,
    body.error ?? body.message ?? `HTTP ${status}`,
    body.request_id ?? headers.get('x-request-id') ?? headers.get('apigw-requestid') ?? undefined,
    Number.isFinite(after) ? after : undefined,
  );
}
