// How a site's trackers fare, for those who may ask.
import { ask } from './ask.ts';
import { requireMonth } from './invoice.ts';
import type { Database } from './ports.ts';
import { type Identity, isPlatformAdmin } from './token.ts';

/** How the trackers of a site fared in a month, for its people. */
export async function readTracker(
  database: Database,
  identity: Identity,
  ref: string,
  month: string | undefined,
) {
  return ask(database, 'read_site_tracker(:user::uuid, :platform_admin, :ref, :month)', {
    user: identity.subject,
    platform_admin: isPlatformAdmin(identity),
    ref,
    month: month === undefined ? null : requireMonth(month),
  });
}

/** The same for operators. */
export async function siteTracker(database: Database, ref: string, month: string | undefined) {
  const asked = month === undefined ? null : requireMonth(month);
  return ask(database, 'site_tracker(:ref, :month)', { ref, month: asked });
}
