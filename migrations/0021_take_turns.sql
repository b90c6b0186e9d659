-- What two at once must not do: add one correction twice, or let a row into a month that is being counted.

create or replace function reconcile_site(p_site uuid, p_month text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  result jsonb;
begin
  if exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month) then
    return jsonb_build_object('skipped', 'frozen');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('reconcile:' || p_site || ':' || p_month, 0)); -- two at once would both add the delta
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
  'Compares a month of a site in one snapshot: ledger with usage row, which is corrected by delta, and ledger with events and outbox, whose differences are named (the first 20 ids each). Two at once for one month take turns. The ledger is never changed; a frozen month is skipped.';

create table invoice_barriers (
  site_id    uuid not null,
  year_month text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  raised_at  timestamptz not null default clock_timestamp(),
  primary key (site_id, year_month)
);
comment on table invoice_barriers is 'Months that take no row any more because their count is about to be taken, even if a clock goes back; append-only.';
create trigger invoice_barriers_append_only before update or delete or truncate on invoice_barriers for each statement execute function append_only();

select secure_table('invoice_barriers', true);

create or replace function freeze_barrier(p_site uuid, p_month text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '10s' as $$
begin
  perform require_ended_month(p_month);
  perform lock_site(p_site);
  insert into invoice_barriers (site_id, year_month) values (p_site, p_month) on conflict do nothing;
  return true;
end $$;
comment on function freeze_barrier(uuid, text) is
  'First part of a freeze, committed by itself: waits for every writer that began in the month and closes it to later ones, so that the count which follows misses none. Raises RK012 (month open), 55P03.';

create or replace function freeze_invoice(p_site uuid, p_month text, p_commit text, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  events  bigint;
  overage bigint;
  usage   bigint;
  frozen  invoice_snapshot;
  fresh   boolean;
begin
  perform require_ended_month(p_month);
  if not exists (select from invoice_barriers b where b.site_id = p_site and b.year_month = p_month) then
    raise exception 'The month % is not closed yet: the barrier comes first.', p_month using errcode = 'RK012';
  end if;
  select count(*), count(*) filter (where l.billing_state = 'OVERAGE') into events, overage
    from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month and l.billable;
  select u.event_count into usage from site_usage_monthly u where u.site_id = p_site and u.year_month = p_month;
  insert into invoice_snapshot (site_id, year_month, event_count, overage_count, snapshot_hash, generated_by, commit_sha, hash_version)
  values (p_site, p_month, events, overage, invoice_hash(p_site, p_month, events, overage, p_commit), p_by, p_commit, 1)
  on conflict (site_id, year_month) do nothing;
  fresh := found;
  select * into frozen from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month;
  if fresh then
    perform audit('cron', 'invoice_freeze', 'invoice', p_site || ':' || p_month, p_site,
                  jsonb_build_object('event_count', events::text, 'overage_count', overage::text, 'usage_row', usage::text, 'snapshot_hash', frozen.snapshot_hash));
  end if;
  return jsonb_build_object('inserted', fresh, 'event_count', frozen.event_count::text, 'overage_count', frozen.overage_count::text,
    'usage_row', usage::text, 'snapshot_hash', frozen.snapshot_hash, 'frozen_at', utc_text(frozen.generated_at));
end $$;
comment on function freeze_invoice(uuid, text, text, text) is
  'Second part of a freeze: counts the ledger and inserts the snapshot once; repeatable, the first one stays. Audited as invoice_freeze. Raises RK012 (month open, or freeze_barrier not committed before).';
