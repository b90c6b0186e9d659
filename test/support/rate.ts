// The rate limit as tests see it: the fields of an answer, the refusal, the minute's edge, and clients with an address of their own.
import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Answer } from './stack.ts';

const window_ms = 60_000;
const quota_headers = ['x-opsmantik-quota-exceeded', 'x-opsmantik-quota-remaining'];

/** The standard RateLimit fields of an answer; NaN where they are missing. */
export const rateOf = ({ headers }: Answer) => ({
  limit: Number(/^"default";q=(\d+);w=60$/.exec(headers.get('ratelimit-policy') ?? '')?.[1]),
  remaining: Number(/^"default";r=(\d+);t=\d+$/.exec(headers.get('ratelimit') ?? '')?.[1]),
  reset_s: Number(/;t=(\d+)$/.exec(headers.get('ratelimit') ?? '')?.[1]),
});

export function expectRateLimited(answer: Answer): void {
  expect(answer.status).toBe(429);
  expect(answer.body).toEqual({
    ok: false,
    error: 'Rate limit',
    code: 'rate_limited',
    request_id: answer.headers.get('x-request-id'),
  });
  expect(answer.headers.get('x-opsmantik-ratelimit')).toBe('1');
  const retry_after = Number(answer.headers.get('retry-after'));
  expect(retry_after).toBeGreaterThanOrEqual(1);
  expect(retry_after).toBeLessThanOrEqual(60);
  expect(rateOf(answer)).toMatchObject({ remaining: 0, reset_s: retry_after });
  for (const name of quota_headers) expect(answer.headers.has(name)).toBe(false);
}

/** A test that counts must not be split by the minute's edge. */
export async function roomInWindow(seconds = 5): Promise<void> {
  const left = window_ms - (Date.now() % window_ms);
  if (left < seconds * 1000) await sleep(left + 20);
}

/** The key of the client's window in the table, so many minutes ago. */
export const windowOf = (site: { id: string }, client: string, ago = 0) => {
  const now_s = Math.floor(Date.now() / 1000);
  return `${site.id}#${client}#${now_s - (now_s % 60) - ago * 60}`;
};

/** From an address of its own; fetch cannot choose one. */
export function postFrom(
  url: string,
  localAddress: string,
  body: unknown,
  more: Record<string, string> = {},
) {
  const headers = { origin: 'https://example.com', 'content-type': 'application/json', ...more };
  return new Promise<{ status: number | undefined; ratelimit: string | undefined }>((resolve, reject) => {
    const request = httpRequest(`${url}/api/sync`, { method: 'POST', headers, localAddress }, (response) => {
      response.resume().on('end', () =>
        resolve({
          status: response.statusCode,
          ratelimit: response.headers['x-opsmantik-ratelimit'] as string | undefined,
        }),
      );
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}
