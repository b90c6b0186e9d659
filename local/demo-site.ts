// The site that a newcomer's first event goes to: created through the API, once, and found again at each start.

import { demoUsers } from './issuer.ts';

export interface DemoSite {
  id: string;
  public_id: string;
  /** Only when the site was just created: a key is shown once. */
  api_key?: string;
}

const public_id = 'demo';
/** The demo users with these roles are members of the site; its owner is the one named owner. */
const member_roles = ['admin', 'billing', 'analyst', 'operator'];

/** @throws Error with the API's sentence. */
export async function demoSite(url: string, adminToken: string): Promise<DemoSite> {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  const body = JSON.stringify({
    name: 'Demo site',
    public_id,
    origins: ['http://localhost', 'http://127.0.0.1', 'https://example.com'],
    user_id: '0d000000-0000-4000-8000-000000000001',
    plan: { monthly_limit: '1000000', plan_tier: 'demo' },
    api_key: true,
  });
  const created = await fetch(`${url}/api/admin/sites`, { method: 'POST', headers, body });
  if (created.ok) {
    const site = (await created.json()) as DemoSite;
    for (const { id, role } of demoUsers.filter((user) => member_roles.includes(user.role)))
      await addMember(url, headers, site.id, id, role);
    return site;
  }
  const known = await fetch(`${url}/api/admin/sites?limit=200`, { headers });
  const { sites, error } = (await known.json()) as { sites?: DemoSite[]; error?: string };
  const found = sites?.find((site) => site.public_id === public_id);
  if (!found) throw new Error(`The demo site could not be created: ${error ?? created.status}`);
  return found;
}

async function addMember(
  url: string,
  headers: Record<string, string>,
  site: string,
  user: string,
  role: string,
) {
  const body = JSON.stringify({ role });
  const answer = await fetch(`${url}/api/admin/sites/${site}/members/${user}`, {
    method: 'PUT',
    headers,
    body,
  });
  if (!answer.ok) throw new Error(`The demo user ${role} could not become a member: ${answer.status}`);
}
