// The five sites of the demo: one within its plan, one in overage, one at its hard limit, one soft, one with nothing yet.
import { demoUsers } from '../local/issuer.ts';
import { type Demo, userOf } from './stack.ts';

const member_roles = ['admin', 'billing', 'analyst', 'operator'];
const usual_events = 6_000;

export interface SitePlan {
  monthly_limit: string;
  soft_limit_enabled: boolean;
  hard_cap_multiplier: string;
  billing_policy: 'all' | 'by_kind';
  plan_tier: string;
}

export interface Site {
  id: string;
  public_id: string;
  name: string;
  origin: string;
  plan: SitePlan;
  /** Events of the month before last, of the last one, and of this one until today. */
  history: [number, number, number];
  /** How many of today go through /api/sync. */
  today: number;
  seed: number;
}

type Wanted = Omit<Site, 'id' | 'origin'>;

/** @param events how many the first site has in its last frozen month. */
function wanted(events: number = usual_events): Wanted[] {
  const limit = Math.max(10_000, Math.ceil((events * 1.6) / 10_000) * 10_000);
  return [
    site(1, 'harbour', 'Harbour Coffee', planOf('growth', limit), [5_000, events, 4_000], 1_100),
    site(2, 'northwind', 'Northwind Games', planOf('studio', 2_500, '2'), [2_300, 3_100, 2_400], 500),
    site(3, 'fernbank', 'Fernbank Museum', planOf('starter', 1_000), [700, 1_100, 950], 150),
    site(4, 'lumen', 'Lumen Furniture', planOf('scale', 3_000, '1.5', 'by_kind'), [1_500, 1_700, 1_400], 250),
  ];
}

const last = site(5, 'quarry', 'Quarry Climbing', planOf('starter', 1_000), [0, 0, 0], 0);
/** Exists only when everything before it was done. */
export const last_site = last.public_id;
export const first_site = 'demo-harbour';

/** Created by the API; those with a history, as if three months ago. */
export async function createSites(demo: Demo, events: number | undefined, since: Date): Promise<Site[]> {
  const sites: Site[] = [];
  for (const one of wanted(events)) sites.push(await create(demo, one));
  const ids = sites.map(({ id }) => id);
  await demo.database.query('update sites set created_at = $2 where id = any ($1)', [ids, since]);
  await demo.database.query('update site_plans set created_at = $2 where site_id = any ($1)', [ids, since]);
  return sites;
}

export const createLastSite = (demo: Demo): Promise<Site> => create(demo, last);

async function create(demo: Demo, one: Wanted): Promise<Site> {
  const admin = demo.as(userOf('platform-admin'));
  const origin = `https://${one.public_id.replace('demo-', '')}.example`;
  const { name, public_id, plan } = one;
  const order = { name, public_id, origins: [origin], user_id: userOf('owner').id, plan, api_key: true };
  const { body } = await admin('POST', '/api/admin/sites', order);
  for (const { id, role } of demoUsers.filter((user) => member_roles.includes(user.role)))
    await admin('PUT', `/api/admin/sites/${body.id}/members/${id}`, { role });
  return { ...one, id: body.id, origin };
}

function site(
  seed: number,
  word: string,
  name: string,
  plan: SitePlan,
  history: Wanted['history'],
  today: number,
): Wanted {
  return { seed, public_id: `demo-${word}`, name, plan, history, today };
}

/** Hard without a multiplier. */
function planOf(
  plan_tier: string,
  limit: number,
  multiplier?: string,
  billing_policy: SitePlan['billing_policy'] = 'all',
): SitePlan {
  return {
    plan_tier,
    monthly_limit: String(limit),
    soft_limit_enabled: multiplier !== undefined,
    hard_cap_multiplier: multiplier ?? '1',
    billing_policy,
  };
}
