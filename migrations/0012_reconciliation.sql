-- Reconciliation: the ledger is compared with the usage row, the outbox and the delivered events, and only what is beside the
-- ledger is corrected, by delta. Jobs have a lease that expires, attempts, a delay, and a dead state.

create table billing_reconciliation_jobs (
  id              bigint generated always as identity primary key,
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp(),
  next_attempt_at timestamptz not null default clock_timestamp(),
  locked_at       timestamptz,
  lease_until     timestamptz,
  site_id         uuid not null,
  year_month      text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  status          text not null default 'QUEUED' check (status in ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'DEAD')),
  attempt_count   integer not null default 0,
  last_error      text check (length(last_error) <= 1000),
  last_drift_pct  numeric,
  last_usage      jsonb,
  last_result     jsonb,
  unique (site_id, year_month)
);
create index billing_reconciliation_due on billing_reconciliation_jobs (next_attempt_at) where status in ('QUEUED', 'FAILED', 'PROCESSING');
create index billing_reconciliation_recent on billing_reconciliation_jobs (status, updated_at);
comment on table billing_reconciliation_jobs is 'One job for each open (site, month). last_drift_pct is a fraction; FAILED is tried again at next_attempt_at, DEAD is not; a PROCESSING job whose lease has passed is taken over.';

create function usage_mark(p_site uuid, p_month text) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('event_count', u.event_count::text, 'overage_count', u.overage_count::text)
    from site_usage_monthly u where u.site_id = p_site and u.year_month = p_month
$$;
comment on function usage_mark(uuid, text) is 'What of a usage row says that something changed since the last reconciliation.';

create function enqueue_reconciliation(p_from text, p_to text, p_site uuid, p_force boolean, out enqueued bigint, out active_sites bigint)
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  first_month text := coalesce(p_from, utc_year_month(date_trunc('month', clock_timestamp() at time zone 'UTC') at time zone 'UTC' - interval '1 day'));
  last_month  text := coalesce(p_to, utc_year_month(clock_timestamp()));
begin
  with months as (
    select utc_year_month(m) ym from generate_series(month_start(first_month), month_start(last_month), interval '1 month') m
  ), active as materialized ( -- a probe for each site and month: no busy site hides another
    select s.id site_id, m.ym from sites s cross join months m
     where (p_site is null or s.id = p_site)
       and (exists (select from site_usage_monthly u where u.site_id = s.id and u.year_month = m.ym)
            or exists (select from ingest_idempotency l where l.site_id = s.id and l.year_month = m.ym))
       and not exists (select from invoice_snapshot i where i.site_id = s.id and i.year_month = m.ym)
  ), queued as (
    insert into billing_reconciliation_jobs as j (site_id, year_month) select a.site_id, a.ym from active a
    on conflict (site_id, year_month) do update
       set status = 'QUEUED', attempt_count = 0, next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
     where (j.status = 'COMPLETED' and (p_force or j.updated_at < clock_timestamp() - interval '55 minutes'
                                        or j.last_usage is distinct from usage_mark(j.site_id, j.year_month)))
        or (p_force and j.status in ('FAILED', 'DEAD'))
    returning 1
  )
  select (select count(*) from queued), (select count(distinct a.site_id) from active a) into enqueued, active_sites;
end $$;
comment on function enqueue_reconciliation(text, text, uuid, boolean) is
  'Queues every open (site, month) with usage in the range (default: last and current month) that is new, changed since its last run, or was last checked an hour ago; p_force also what is unchanged, failed or dead. Frozen months are skipped; a job at work is left alone.';

create function claim_billing_reconciliation_jobs(p_limit integer, p_lease_s integer default 120)
returns table (id bigint, site_id uuid, year_month text, attempt_count integer)
language sql volatile security definer set search_path = pg_catalog, public as $$
  update billing_reconciliation_jobs j
     set status = 'PROCESSING', locked_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => p_lease_s),
         attempt_count = j.attempt_count + 1, updated_at = clock_timestamp()
   where j.id = any (array(
     select d.id from billing_reconciliation_jobs d
      where (d.status in ('QUEUED', 'FAILED') and d.next_attempt_at <= clock_timestamp())
         or (d.status = 'PROCESSING' and d.lease_until < clock_timestamp())
      order by d.next_attempt_at, d.id limit least(greatest(p_limit, 1), 500) for update skip locked))
  returning j.id, j.site_id, j.year_month, j.attempt_count
$$;
comment on function claim_billing_reconciliation_jobs(integer, integer) is
  'Takes due jobs, and jobs whose holder let the lease pass; two callers never get the same one.';

create function reconcile_site(p_site uuid, p_month text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  result jsonb;
begin
  if exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month) then
    return jsonb_build_object('skipped', 'frozen');
  end if;
  insert into site_usage_monthly (site_id, year_month) values (p_site, p_month) on conflict do nothing;
  with ledger as (
    select count(*) filter (where l.billable) billable, count(*) filter (where l.billable and l.billing_state = 'OVERAGE') overage
      from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month
  ), undelivered as (
    select l.id from ingest_idempotency l
     where l.site_id = p_site and l.year_month = p_month and l.billing_state <> 'REJECTED_QUOTA'
       and not exists (select from events e where e.id = l.id) and not exists (select from ingest_fallback_buffer o where o.id = l.id)
  ), ledgerless as (
    select e.id from events e
     where e.site_id = p_site and e.received_at >= month_start(p_month) and e.received_at < month_start(p_month) + interval '1 month'
       and not exists (select from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month and l.id = e.id)
  ), before as (
    select u.event_count, u.overage_count from site_usage_monthly u where u.site_id = p_site and u.year_month = p_month
  ), corrected as ( -- by delta, in the snapshot of the count: a concurrent ingest moves both sides alike
    update site_usage_monthly u
       set event_count = u.event_count + (g.billable - b.event_count), overage_count = u.overage_count + (g.overage - b.overage_count),
           last_synced_at = clock_timestamp()
      from ledger g, before b where u.site_id = p_site and u.year_month = p_month
  )
  select jsonb_build_object('billable', g.billable::text, 'overage', g.overage::text,
      'usage_before', jsonb_build_object('event_count', b.event_count::text, 'overage_count', b.overage_count::text),
      'usage_delta', (g.billable - b.event_count)::text, 'overage_delta', (g.overage - b.overage_count)::text,
      'undelivered', (select count(*)::text from undelivered), 'undelivered_ids', (select coalesce(jsonb_agg(x.id::text), '[]') from (select id from undelivered order by id limit 20) x),
      'ledgerless', (select count(*)::text from ledgerless), 'ledgerless_ids', (select coalesce(jsonb_agg(x.id::text), '[]') from (select id from ledgerless order by id limit 20) x),
      'as_of', (select last_value::text from ingest_id_seq))
    into result from ledger g, before b;
  return result;
end $$;
comment on function reconcile_site(uuid, text) is
  'Compares a month of a site in one snapshot: ledger with usage row, which is corrected by delta, and ledger with events and outbox, whose differences are named (the first 20 ids each). The ledger is never changed; a frozen month is skipped.';

create function finish_reconciliation(p_job bigint, p_attempt integer, p_error text, p_drift_pct numeric, p_result jsonb) returns text
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  now_status text;
begin
  update billing_reconciliation_jobs j
     set status = case when p_error is null then 'COMPLETED' when j.attempt_count >= 8 then 'DEAD' else 'FAILED' end,
         last_error = left(p_error, 1000), last_drift_pct = coalesce(p_drift_pct, j.last_drift_pct), last_result = coalesce(p_result, j.last_result),
         last_usage = usage_mark(j.site_id, j.year_month), lease_until = null, updated_at = clock_timestamp(),
         next_attempt_at = clock_timestamp() + retry_delay(j.attempt_count)
   where j.id = p_job and j.status = 'PROCESSING' and j.attempt_count = p_attempt
  returning j.status into now_status;
  return coalesce(now_status, 'LOST');
end $$;
comment on function finish_reconciliation(bigint, integer, text, numeric, jsonb) is
  'Ends an attempt: COMPLETED, or FAILED with a delay, or DEAD after 8; LOST when another holder has taken the job over. p_attempt is the fencing token of the claim.';

create function reconciliation_summary() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    'drift_sites_last1h', count(distinct j.site_id) filter (where j.status = 'COMPLETED' and j.updated_at > clock_timestamp() - interval '1 hour' and j.last_drift_pct > 0.01),
    'failed', count(*) filter (where j.status = 'FAILED'), 'dead', count(*) filter (where j.status = 'DEAD'),
    'stuck', count(*) filter (where j.status = 'PROCESSING' and j.lease_until < clock_timestamp()))
  from billing_reconciliation_jobs j
$$;
comment on function reconciliation_summary() is 'What watchtower asks of reconciliation: drifting sites of the last hour, failed, dead and stuck jobs.';

do $$
begin
  alter table billing_reconciliation_jobs enable row level security;
  alter table billing_reconciliation_jobs force row level security;
  revoke all on billing_reconciliation_jobs from public;
  execute 'create policy owner_all on billing_reconciliation_jobs to current_user using (true) with check (true)';
  create policy service_role_all on billing_reconciliation_jobs to service_role using (true) with check (true);
  create policy member_reads on billing_reconciliation_jobs for select to authenticated using (site_id in (select my_site_ids()));
  grant select on billing_reconciliation_jobs to service_role, authenticated;
end $$;

grant execute on function enqueue_reconciliation(text, text, uuid, boolean), claim_billing_reconciliation_jobs(integer, integer),
  reconcile_site(uuid, text), finish_reconciliation(bigint, integer, text, numeric, jsonb), reconciliation_summary() to kernel_jobs;
