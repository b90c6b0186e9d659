-- Is the kernel well? Heartbeats of the jobs, the canary's site, and every check that the ledger alone can answer.

alter table sites add column synthetic boolean not null default false;
comment on column sites.synthetic is 'The canary''s site: its events are recorded as not billable and prove that the whole path works.';

create table job_heartbeats (
  job           text primary key check (job ~ '^[a-z_]{1,32}$'),
  interval_s    integer not null check (interval_s > 0),
  installed_at  timestamptz not null default clock_timestamp(),
  last_ok_at    timestamptz,
  last_failed_at timestamptz,
  runs_ok       bigint not null default 0,
  runs_failed   bigint not null default 0,
  last_result   jsonb
);
comment on table job_heartbeats is 'One row a job: how often it should run, when it last did, and durable counts of its runs. A job that was not ok within two intervals is missed.';
insert into job_heartbeats (job, interval_s)
values ('recover', 300), ('reconcile', 900), ('watchtower', 900), ('cleanup', 86400), ('freeze', 31 * 86400);

create function record_heartbeat(p_job text, p_ok boolean, p_result jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  update job_heartbeats h
     set last_ok_at = case when p_ok then clock_timestamp() else h.last_ok_at end, last_failed_at = case when p_ok then h.last_failed_at else clock_timestamp() end,
         runs_ok = h.runs_ok + p_ok::integer, runs_failed = h.runs_failed + (not p_ok)::integer, last_result = p_result
   where h.job = p_job;
  return found;
end $$;
comment on function record_heartbeat(text, boolean, jsonb) is 'Notes the end of a run of a job; false when the job is not known.';

create function heartbeats() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_agg(jsonb_build_object('job', h.job, 'interval_s', h.interval_s, 'last_ok_at', utc_text(h.last_ok_at), 'last_failed_at', utc_text(h.last_failed_at),
           'runs_ok', h.runs_ok::text, 'runs_failed', h.runs_failed::text,
           -- a ledger that was away or asleep could not hear the heart: it gets two intervals from its own start
           'missed', greatest(h.last_ok_at, h.installed_at, pg_postmaster_start_time()) + 2 * make_interval(secs => h.interval_s) < clock_timestamp()) order by h.job)
    from job_heartbeats h
$$;
comment on function heartbeats() is 'Every job with its last runs, and whether its heartbeat is missed.';

create function canary_site() returns text
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  created uuid;
begin
  insert into sites (public_id, name, origins, synthetic)
  select 'canary-' || encode(substr(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 1, 8), 'hex'), 'Canary (synthetic, never billed)', array['https://canary.invalid'], true
   where pg_try_advisory_xact_lock(hashtextextended('canary', 0)) and not exists (select from sites s where s.synthetic)
  returning id into created;
  if created is not null then
    insert into site_plans (site_id, plan_tier, monthly_limit, billing_policy) values (created, 'canary', 0, 'by_kind');
  end if;
  return (select s.public_id from sites s where s.synthetic order by s.created_at limit 1);
end $$;
comment on function canary_site() is 'The public id of the synthetic site, created at the first call. Its plan bills nothing: quota 0, and events of the kind system are never billable.';

create function canary_arrived(p_ingest_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, public as $$
  select exists (select from events e join sites s on s.id = e.site_id where e.id = ingest_uuid_id(p_ingest_id) and s.synthetic)
$$;
comment on function canary_arrived(uuid) is 'Whether a canary event has been delivered.';

create function watchtower_checks() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    'now', utc_text(clock_timestamp()),
    'publish_failures_15m', (select count(*)::text from ingest_publish_failures f where f.created_at > clock_timestamp() - interval '15 minutes'),
    'outbox', (select jsonb_build_object('waiting', (count(*) filter (where o.status <> 'FAILED'))::text, 'failed', (count(*) filter (where o.status = 'FAILED'))::text,
                 'oldest_s', coalesce(ceil(extract(epoch from clock_timestamp() - min(o.created_at) filter (where o.status <> 'FAILED'))), 0)::text) from ingest_fallback_buffer o),
    'reconciliation', reconciliation_summary(),
    'undelivered', (select coalesce(sum((j.last_result ->> 'undelivered')::bigint), 0)::text from billing_reconciliation_jobs j where j.updated_at > clock_timestamp() - interval '2 hours'),
    'ledgerless', (select coalesce(sum((j.last_result ->> 'ledgerless')::bigint), 0)::text from billing_reconciliation_jobs j where j.updated_at > clock_timestamp() - interval '2 hours'),
    'unfrozen', (select jsonb_build_object('count', count(*)::text, 'first', min(u.year_month || ' ' || u.site_id)) from site_usage_monthly u
                  where month_start(u.year_month) + interval '1 month' + interval '6 hours' < clock_timestamp()
                    and not exists (select from invoice_snapshot i where i.site_id = u.site_id and i.year_month = u.year_month)),
    'exports', (select jsonb_build_object('dead', count(*)::text) from dispute_exports x where x.status = 'DEAD'),
    'ingest', (select jsonb_build_object('last_at', utc_text(max(t.at)), 'age_s', ceil(extract(epoch from clock_timestamp() - max(t.at)))::text) from (
                 (select e.received_at as at from (select * from events order by id desc limit 1000) e join sites s on s.id = e.site_id and not s.synthetic order by e.id desc limit 1)
                 union all
                 (select o.created_at from (select * from ingest_fallback_buffer order by id desc limit 1000) o join sites s on s.id = o.site_id and not s.synthetic order by o.id desc limit 1)) t),
    'heartbeats', heartbeats())
$$;
comment on function watchtower_checks() is 'What the ledger knows of its own health, in one snapshot; watchtower judges it.';

create function kernel_metrics() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    'allowed', (select coalesce(sum(u.event_count), 0)::text from site_usage_monthly u),
    'overage', (select coalesce(sum(u.overage_count), 0)::text from site_usage_monthly u),
    'publish_failures', (select count(*)::text from ingest_publish_failures),
    'conflicts', (select count(*)::text from ingest_conflicts),
    'reconciliation_ok', (select h.runs_ok::text from job_heartbeats h where h.job = 'reconcile'),
    'reconciliation_failed', (select h.runs_failed::text from job_heartbeats h where h.job = 'reconcile'),
    'drift_sites_last1h', reconciliation_summary() -> 'drift_sites_last1h',
    'jobs', heartbeats(),
    'outbox_waiting', (select count(*)::text from ingest_fallback_buffer o where o.status <> 'FAILED'),
    'outbox_failed', (select count(*)::text from ingest_fallback_buffer o where o.status = 'FAILED'),
    'invoices_frozen', (select count(*)::text from invoice_snapshot),
    'sites', (select count(*)::text from sites s where s.status = 'active' and not s.synthetic))
$$;
comment on function kernel_metrics() is 'The counters that the ledger itself keeps, as decimal strings: true over every instance and every restart.';

select secure_table('job_heartbeats', false);

grant execute on function record_heartbeat(text, boolean, jsonb) to kernel_deliver, kernel_jobs;

grant execute on function canary_site(), canary_arrived(uuid), watchtower_checks(), kernel_metrics(), heartbeats() to kernel_jobs;

grant execute on function kernel_metrics() to kernel_api;
