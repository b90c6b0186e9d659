// Who may start a job over HTTP: whoever knows the cron secret, compared in constant time.
import { createHash, timingSafeEqual } from 'node:crypto';
import { KernelError } from './errors.ts';

/** @throws KernelError `CRON_FORBIDDEN` unless the header is `Bearer` and the secret; an empty secret never matches. */
export function requireCronSecret(authorization: string | undefined, secret: string): void {
  const given = /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
  if (secret.trim() === '' || !timingSafeEqual(digest(given), digest(secret.trim()))) {
    throw new KernelError('CRON_FORBIDDEN', 'forbidden');
  }
}

/** Digests have one length, so the comparison tells nothing of the secret's. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
