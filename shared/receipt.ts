// The receipt of an event: what was decided about it, for those who may see its site.
import { ask } from './ask.ts';
import { KernelError } from './errors.ts';
import type { Database } from './ports.ts';

/**
 * Every decision taken on an admitted event.
 * @throws KernelError `site_not_found` also when the site is not the user's, `receipt_not_found`.
 */
export async function readReceipt(
  database: Database,
  user: string,
  platformAdmin: boolean,
  ref: string,
  ingestId: string,
) {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(ingestId)) {
    throw new KernelError('receipt_not_found', 'The site has no event with this ingest_id.');
  }
  const call = 'read_receipt(:user::uuid, :platform_admin, :ref, :ingest_id::uuid)';
  const parameters = { user, platform_admin: platformAdmin, ref, ingest_id: ingestId };
  return (await ask(database, call, parameters)) as Record<string, unknown>;
}
