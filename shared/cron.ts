// What the jobs share: who may start one over HTTP, and the heartbeat that each run leaves in the ledger.
import { createHash, timingSafeEqual } from 'node:crypto';
import { KernelError } from './errors.ts';
import type { Database } from './ports.ts';

const result_text_max = 2_000;

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

/** Notes the end of a run; of the result only its plain figures are kept. */
export async function recordHeartbeat(
  database: Database,
  job: string,
  ok: boolean,
  result: object,
): Promise<void> {
  const figures = Object.fromEntries(Object.entries(result).filter(([, value]) => typeof value !== 'object'));
  await database.query('select record_heartbeat(:job, :ok, :result::jsonb) known', {
    job,
    ok,
    result: JSON.stringify(figures).length > result_text_max ? '{}' : JSON.stringify(figures),
  });
}
