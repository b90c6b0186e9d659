// Months that have passed: their traffic goes through the kernel's own decision with the times of then, is delivered, and is frozen.
import { checkEvent } from '../shared/event.ts';
import { keyEvent } from '../shared/idempotency.ts';
import type { IngestSite } from '../shared/site.ts';
import { random } from './random.ts';
import type { Site } from './sites.ts';
import { type Demo, until } from './stack.ts';
import { type Batch, history } from './traffic.ts';

const events_a_call = 4_000;

/** The first instant of the UTC month so many months after this one. */
export function monthStart(now: Date, months: number): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 1));
}

export const monthName = (at: Date): string => at.toISOString().slice(0, 7);

/** ingest() itself takes the time from its own clock; what it calls takes it from us. Lives as long as the connection. */
const take_history = `
  create or replace function pg_temp.take_history(p_site uuid, p_month text, p_batches jsonb) returns void language plpgsql as $$
  declare
    b        jsonb;
    p        site_plans;
    used     bigint;
    over     bigint := 0;
    before   bigint;
    decided  record;
  begin
    perform lock_site(p_site);
    select * into strict p from site_plans x where x.site_id = p_site;
    insert into site_usage_monthly (site_id, year_month) values (p_site, p_month) on conflict do nothing;
    select u.event_count into used from site_usage_monthly u where u.site_id = p_site and u.year_month = p_month;
    before := used;
    for b in select jsonb_array_elements(p_batches) loop
      select * into decided from ingest_batch(p_site, (b ->> 'id')::uuid, b -> 'events', b ->> 'id', b ->> 'ip', 'Mozilla/5.0 (demo)',
        (b ->> 'at')::timestamptz, p_month, p.monthly_limit,
        case when p.soft_limit_enabled then floor(p.monthly_limit * p.hard_cap_multiplier)::bigint else p.monthly_limit end, p.billing_policy, used);
      used := used + decided.billed;
      over := over + decided.overage;
    end loop;
    update site_usage_monthly u set event_count = u.event_count + used - before, overage_count = u.overage_count + over
     where u.site_id = p_site and u.year_month = p_month;
    with taken as (delete from ingest_fallback_buffer o where o.site_id = p_site returning o.*)
    insert into events (id, site_id, received_at, delivered_at, payload, request_id, client_ip, user_agent)
    select id, site_id, created_at, created_at + interval '300 milliseconds' + (id % 900) * interval '1 millisecond', payload, request_id, client_ip, user_agent from taken;
  end $$`;

/** The two months before this one, and this one until now. */
export async function plantHistory(demo: Demo, sites: Site[], now: Date): Promise<number> {
  await demo.database.query('set jit = off');
  await demo.database.query('set synchronous_commit = off');
  await demo.database.query(take_history);
  let planted = 0;
  for (const site of sites) {
    for (const [nth, count] of site.history.entries()) {
      const from = monthStart(now, nth - 2);
      const end = monthStart(now, nth - 1);
      await plantMonth(demo, site, from, end < now ? end : now, count);
      planted += count;
    }
  }
  return planted;
}

async function plantMonth(demo: Demo, site: Site, from: Date, to: Date, count: number): Promise<void> {
  const month = monthName(from);
  const source = random(site.seed * 1_000 + from.getUTCMonth());
  let [call, size]: [object[], number] = [[], 0];
  const take = async () => {
    const values = [site.id, month, JSON.stringify(call)];
    await demo.database.query('select pg_temp.take_history($1, $2, $3)', values);
    [call, size] = [[], 0];
  };
  for (const batch of history(source, site.origin, month, from, to, count)) {
    const ip = `192.0.2.${1 + source.below(254)}`; // a block that is reserved for documentation
    call.push({ id: source.uuid(), ip, at: batch.at.toISOString(), events: keyed(site, batch) });
    size += batch.events.length;
    if (size >= events_a_call) await take();
  }
  if (size > 0) await take();
}

/** As the ingest function checks and keys what it is sent. */
function keyed({ id }: Site, { at, events }: Batch): object[] {
  return events.map((event) => keyEvent({ id } as IngestSite, checkEvent(event, at), at));
}

/** By the doors of the two jobs: frozen and sealed, and what is open compared with the ledger. */
export async function freezeMonths(demo: Demo, now: Date): Promise<void> {
  for (const months of [-2, -1]) {
    const path = `/api/cron/invoice-freeze?year_month=${monthName(monthStart(now, months))}`;
    let remaining = true;
    while (remaining) ({ remaining } = (await demo.cron(path)).body);
  }
}

/** Waits for the delivery of what was sent. */
export async function delivered(demo: Demo, sites: Site[]): Promise<void> {
  const ids = sites.map(({ id }) => id);
  await until('The delivery of the events', async () => {
    const sql = 'select count(*)::int waiting from ingest_fallback_buffer where site_id = any ($1)';
    return (await demo.database.query(sql, [ids])).rows[0].waiting === 0;
  });
}
