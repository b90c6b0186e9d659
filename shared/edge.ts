// The edge before the API: how a request shows that it came through it, and for whom.
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { edge_headers } from './config.ts';
import { KernelError } from './errors.ts';

/**
 * The address of the client, or undefined where the edge did not tell one.
 * @param secret JSON with `current` and, while it is being changed, `previous`; both are valid.
 * @throws KernelError `forbidden` unless the request holds one of them; an empty value never matches.
 */
export function edgeClient(
  headers: Readonly<Record<string, string | undefined>>,
  secret: string,
): string | undefined {
  const { current, previous } = JSON.parse(secret) as { current?: string; previous?: string };
  const given = digest(headers[edge_headers.secret] ?? '');
  const matches = [current, previous].map((value) => !!value && timingSafeEqual(given, digest(value)));
  if (!matches.includes(true))
    throw new KernelError('forbidden', 'This API is reached by its public address only.');
  const address = headers[edge_headers.address] ?? '';
  return isIP(address) === 0 ? undefined : address;
}

/** Digests have one length, so the comparison tells nothing of the secret's. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
