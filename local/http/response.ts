// Turns what a function answered into an HTTP response, with the inference of payload 2.0 and the errors of an HTTP API.
//
// Not reproduced: compression and the limits on the size and number of response headers.
import { callerGaveUp, type InvokeFailure, type InvokeResult } from '../lambda/functions.ts';

export interface HttpResponse {
  status: number;
  headers: Record<string, string | string[]>;
  body: string | Buffer;
}

/** The gateway's own answer; every one of them is a JSON object with one message. */
export function message(status: number, text: string): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: text }),
  };
}

const INTERNAL = (): HttpResponse => message(500, 'Internal Server Error');
const DROPPED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'date']);

export function responseOf(result: InvokeResult): HttpResponse {
  if (!result.ok) return failureResponse(result);
  const { value } = result;
  if (typeof value !== 'object' || value === null || !('statusCode' in value)) {
    const body = typeof value === 'string' ? value : JSON.stringify(value);
    return { status: 200, headers: { 'content-type': 'application/json' }, body };
  }
  const { statusCode, headers = {}, cookies = [], body = '', isBase64Encoded = false } = value as AnswerParts;
  const status = Number(statusCode);
  const wellFormed = typeof body === 'string' && Array.isArray(cookies) && typeof headers === 'object';
  if (!wellFormed || !Number.isInteger(status) || status < 200 || status > 599) return INTERNAL();
  const sent: Record<string, string | string[]> = { 'content-type': 'text/plain;charset=UTF-8' };
  for (const [name, one] of Object.entries(headers ?? {})) {
    const lower = name.toLowerCase();
    if (!DROPPED.has(lower) && one !== null) sent[lower] = String(one);
  }
  if (cookies.length > 0) sent['set-cookie'] = [sent['set-cookie'] ?? [], cookies.map(String)].flat();
  return { status, headers: sent, body: isBase64Encoded === true ? Buffer.from(body, 'base64') : body };
}

interface AnswerParts {
  statusCode: unknown;
  headers?: Record<string, unknown> | null;
  cookies?: unknown[];
  body?: unknown;
  isBase64Encoded?: unknown;
}

/**
 * An error or a timeout of the function is 500 (denoland/deno_registry2#87). The gateway's own timeout is 503 (sst#2232),
 * where a REST API has 504. Calls beyond the function's concurrency are 503 too: an HTTP API has no configurable answer for
 * Lambda's 429, and clients see "Service Unavailable" under parallel calls (sst#2232); 429 is kept for the throttling
 * settings of a stage, which are not reproduced.
 */
function failureResponse(failure: InvokeFailure): HttpResponse {
  if (failure.errorType === 'RequestTooLargeException') return message(413, 'Request Entity Too Large');
  const unavailable = failure.kind === 'throttled' || failure.errorType === 'ServiceUnavailableException';
  if (unavailable || callerGaveUp(failure)) return message(503, 'Service Unavailable');
  return INTERNAL();
}
