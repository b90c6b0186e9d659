-- The frozen invoice: a barrier that drains the month's writers, then a count that nobody can move, then one insert for ever.
-- A correction of a frozen month is an adjustment in the next open month, never a ledger row.

create function invoice_hash(p_site uuid, p_month text, p_events bigint, p_overage bigint, p_commit text) returns text
language sql immutable parallel safe
return encode(sha256(convert_to(p_site || '|' || p_month || '|' || p_events || '|' || p_overage || '|' || p_commit, 'UTF8')), 'hex');
comment on function invoice_hash(uuid, text, bigint, bigint, text) is
  'hash_version 1: SHA-256, in hex, of site|month|events|overage|commit. Anybody can recompute it.';

create function require_ended_month(p_month text) returns boolean
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  if p_month !~ '^\d{4}-(0[1-9]|1[0-2])$' or month_start(p_month) + interval '1 month' > clock_timestamp() then
    raise exception 'The month % is still open.', p_month using errcode = 'RK012';
  end if;
  return true;
end $$;
comment on function require_ended_month(text) is 'True when the UTC month has ended by this clock. Raises RK012.';

create function freeze_barrier(p_site uuid, p_month text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '10s' as $$
begin
  perform require_ended_month(p_month);
  perform lock_site(p_site);
  return true;
end $$;
comment on function freeze_barrier(uuid, text) is
  'First half of a freeze, committed by itself: waits for every writer that began in the month, so that the count which follows misses none. Raises RK012 (month open), 55P03.';

create function freeze_invoice(p_site uuid, p_month text, p_commit text, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  events  bigint;
  overage bigint;
  usage   bigint;
  frozen  invoice_snapshot;
  fresh   boolean;
begin
  perform require_ended_month(p_month);
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
  'Second half of a freeze: counts the ledger and inserts the snapshot once; repeatable, the first one stays. Audited as invoice_freeze. Call freeze_barrier first, in a commit of its own. Raises RK012.';

create function sites_to_freeze(p_month text, p_after uuid, p_limit integer) returns table (site_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select s.id from sites s
   where s.created_at < month_start(p_month) + interval '1 month' and (p_after is null or s.id > p_after)
     and not exists (select from invoice_snapshot i where i.site_id = s.id and i.year_month = p_month)
   order by s.id limit least(greatest(p_limit, 1), 1000)
$$;
comment on function sites_to_freeze(text, uuid, integer) is
  'Sites that existed in the month and have no invoice for it, closed ones and ones without events too; in order of id after p_after.';

create table invoice_adjustments (
  id             bigint generated always as identity primary key,
  created_at     timestamptz not null default clock_timestamp(),
  site_id        uuid not null,
  year_month     text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  corrects_month text not null check (corrects_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  event_delta    bigint not null,
  overage_delta  bigint not null default 0,
  reason         text not null check (length(btrim(reason)) between 1 and 2000),
  author         text not null,
  approver       text not null,
  unique_key     text not null,
  unique (site_id, unique_key),
  check (corrects_month < year_month),
  check (author <> approver),
  check (event_delta <> 0 or overage_delta <> 0)
);
comment on table invoice_adjustments is 'Corrections of a frozen month, booked in the open month year_month and part of its export; author and approver are different people; append-only.';

create trigger invoice_adjustments_append_only before update or delete or truncate on invoice_adjustments
  for each statement execute function append_only();

create function adjust_invoice(p_ref text, p_adjustment jsonb, p_author text, p_approver text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
  a    invoice_adjustments;
begin
  if not exists (select from invoice_snapshot i where i.site_id = site and i.year_month = p_adjustment ->> 'corrects_month') then
    raise exception 'The month % of this site is not frozen: its ledger is still open.', p_adjustment ->> 'corrects_month' using errcode = 'RK013';
  end if;
  perform lock_site(site);
  insert into invoice_adjustments (site_id, year_month, corrects_month, event_delta, overage_delta, reason, author, approver, unique_key)
  select site, utc_year_month(clock_timestamp()), p_adjustment ->> 'corrects_month', (p_adjustment ->> 'event_delta')::bigint,
         coalesce((p_adjustment ->> 'overage_delta')::bigint, 0), p_adjustment ->> 'reason', p_author, p_approver, p_adjustment ->> 'key'
  on conflict (site_id, unique_key) do nothing returning * into a;
  if a.id is null then
    select * into a from invoice_adjustments x where x.site_id = site and x.unique_key = p_adjustment ->> 'key';
  else
    perform audit(p_author, 'invoice_adjust', 'invoice', site || ':' || a.corrects_month, site, to_jsonb(a));
  end if;
  return to_jsonb(a) || jsonb_build_object('event_delta', a.event_delta::text, 'overage_delta', a.overage_delta::text);
end $$;
comment on function adjust_invoice(text, jsonb, text, text) is
  'Books {key, corrects_month, event_delta, overage_delta?, reason} for a frozen month in the current one; the same key books once. Audited as invoice_adjust. Raises RK003, RK013 (month not frozen), 23514 (author is approver, empty reason).';

create function verify_invoice(p_site uuid, p_month text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  i       invoice_snapshot;
  events  bigint;
  overage bigint;
begin
  select * into i from invoice_snapshot s where s.site_id = p_site and s.year_month = p_month;
  if not found then
    raise exception 'The month % of this site is not frozen.', p_month using errcode = 'RK013';
  end if;
  select count(*), count(*) filter (where l.billing_state = 'OVERAGE') into events, overage
    from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month and l.billable;
  return jsonb_build_object('site_id', p_site, 'year_month', p_month, 'hash_version', i.hash_version,
    'event_count', i.event_count::text, 'overage_count', i.overage_count::text, 'snapshot_hash', i.snapshot_hash, 'commit_sha', i.commit_sha,
    'ledger', jsonb_build_object('event_count', events::text, 'overage_count', overage::text),
    'hash_ok', i.hash_version = 1 and i.snapshot_hash = invoice_hash(p_site, p_month, i.event_count, i.overage_count, i.commit_sha),
    'ledger_ok', events = i.event_count and overage = i.overage_count);
end $$;
comment on function verify_invoice(uuid, text) is
  'Recomputes the hash of a frozen invoice and counts its ledger again; hash_ok and ledger_ok say whether either was touched. Raises RK013.';

do $$
begin
  alter table invoice_adjustments enable row level security;
  alter table invoice_adjustments force row level security;
  revoke all on invoice_adjustments from public;
  execute 'create policy owner_all on invoice_adjustments to current_user using (true) with check (true)';
  create policy service_role_all on invoice_adjustments to service_role using (true) with check (true);
  create policy member_reads on invoice_adjustments for select to authenticated using (site_id in (select my_site_ids()));
  grant select on invoice_adjustments to service_role, authenticated;
end $$;

grant execute on function require_ended_month(text), month_start(text), freeze_barrier(uuid, text), freeze_invoice(uuid, text, text, text), sites_to_freeze(text, uuid, integer),
  verify_invoice(uuid, text) to kernel_jobs;

grant execute on function adjust_invoice(text, jsonb, text, text), verify_invoice(uuid, text) to kernel_api;
