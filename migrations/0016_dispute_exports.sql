-- Dispute evidence: a month of the ledger as CSV, in pages that need no session, and the exports too long for one answer.

-- A few bytes for a thousand rows: what makes a page of a month cheap without an index entry for each row.
create index ingest_time on ingest_idempotency using brin (created_at) with (pages_per_range = 16, autosummarize = on);

create function ledger_page(p_site uuid, p_month text, p_after_at timestamptz, p_after_id bigint, p_max_id bigint, p_limit integer, p_window_ms bigint, p_whole boolean)
returns table (chunk text, row_count integer, last_at text, last_id bigint, window_ms bigint, done boolean)
language plpgsql stable security definer
set search_path = pg_catalog, public
set plan_cache_mode = force_custom_plan
set enable_indexscan = off as $$ -- only the bitmap of ingest_time reads a window without the rest of the month
declare
  month_end timestamptz := month_start(p_month) + interval '1 month';
  from_at   timestamptz := coalesce(p_after_at, month_start(p_month));
  to_at     timestamptz;
  width     interval := make_interval(secs => greatest(p_window_ms, 1) / 1000.0);
  lines     text[];
  at_last   timestamptz;
  id_last   bigint;
  width_ms  bigint;
  per_chunk integer := case when p_whole then 250 else 500 end; -- 64 KB is the most that a row of the Data API may hold
begin
  loop
    to_at := least(from_at + width, month_end);
    with page as materialized (
      select l.created_at, l.id,
             case when p_whole then archive_line(l.created_at, l.idempotency_key, l.idempotency_version, l.billing_state, l.billable, l.id, l.billing_reason, l.payload_hash)
                  else export_line(l.created_at, l.idempotency_key, l.idempotency_version, l.billing_state, l.billable) end line
        from ingest_idempotency l
       where l.site_id = p_site and l.created_at >= from_at and l.created_at < to_at and l.id <= p_max_id
         and (p_after_at is null or (l.created_at, l.id) > (p_after_at, p_after_id))
       order by l.created_at, l.id limit p_limit)
    select array_agg(p.line order by p.created_at, p.id), (array_agg(p.created_at order by p.created_at desc, p.id desc))[1],
           (array_agg(p.id order by p.created_at desc, p.id desc))[1] into lines, at_last, id_last from page p;
    exit when coalesce(cardinality(lines), 0) >= p_limit or to_at >= month_end;
    width := width * 4; -- a quiet time: look further
  end loop;
  width_ms := greatest(1, least((extract(epoch from case when cardinality(lines) >= p_limit then (at_last - from_at) * 2 else width end) * 1000)::bigint, 2678400000));
  return query
    select array_to_string(lines[n:n + per_chunk - 1], E'\n'), least(per_chunk, cardinality(lines) - n + 1), utc_text(at_last), id_last, width_ms, cardinality(lines) < p_limit
      from generate_series(1, coalesce(cardinality(lines), 0), per_chunk) n;
end $$;
comment on function ledger_page(uuid, text, timestamptz, bigint, bigint, integer, bigint, boolean) is
  'The next p_limit ledger rows of a month after (p_after_at, p_after_id) up to p_max_id, as CSV lines (p_whole: archive_line, else export_line) in chunks below 64 KB; done with the last page, no row when none is left. window_ms is to be passed to the next call: the span of time in which the next page is expected.';

create function adjustment_lines(p_site uuid, p_month text, p_max_id bigint) returns setof text
language sql stable security definer set search_path = pg_catalog, public as $$
  select utc_text(a.created_at) || ',adjustment:' || a.corrects_month || ':' || a.id || ',0,' || k.kind || ',' || k.delta
    from invoice_adjustments a cross join lateral (values (1, 'ADJUSTMENT', a.event_delta), (2, 'ADJUSTMENT_OVERAGE', a.overage_delta)) k (n, kind, delta)
   where a.site_id = p_site and a.year_month = p_month and a.id <= p_max_id and k.delta <> 0 order by a.id, k.n
$$;
comment on function adjustment_lines(uuid, text, bigint) is
  'The corrections booked in the month, as lines that follow the ledger''s in an export: the column billable holds the signed number of events.';

create table dispute_exports (
  id                bigint generated always as identity primary key,
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp(),
  lease_until       timestamptz,
  site_id           uuid not null,
  year_month        text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  max_id            bigint not null,
  max_adjustment_id bigint not null,
  row_count         bigint not null,
  rows_done         bigint not null default 0,
  status            text not null default 'QUEUED' check (status in ('QUEUED', 'BUILDING', 'READY', 'FAILED', 'DEAD')),
  attempt_count     integer not null default 0,
  requested_by      text not null,
  object_key        text,
  export_hash       text,
  bytes             bigint,
  last_error        text check (length(last_error) <= 1000),
  unique (site_id, year_month, max_id, max_adjustment_id)
);
comment on table dispute_exports is 'Exports too long for one answer, one for each state of a month: the ledger up to max_id and the corrections up to max_adjustment_id.';

create function begin_dispute_export(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return month_state(require_capability(p_user, p_platform_admin, p_ref, 'billing:view'), p_month);
end $$;
comment on function begin_dispute_export(uuid, boolean, text, text) is 'month_state for a user who holds billing:view. Raises RK014.';

create function export_row(e dispute_exports) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('export_id', e.id::text, 'site_id', e.site_id, 'year_month', e.year_month, 'status', e.status, 'row_count', e.row_count::text,
    'rows_done', e.rows_done::text, 'max_id', e.max_id::text, 'max_adjustment_id', e.max_adjustment_id::text, 'object_key', e.object_key,
    'export_hash', e.export_hash, 'bytes', e.bytes::text, 'attempt', e.attempt_count, 'last_error', e.last_error, 'created_at', utc_text(e.created_at))
$$;
comment on function export_row(dispute_exports) is 'An export as answers show it.';

create function request_dispute_export(p_state jsonb, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  e dispute_exports;
begin
  insert into dispute_exports as x (site_id, year_month, max_id, max_adjustment_id, row_count, requested_by)
  values ((p_state ->> 'site_id')::uuid, p_state ->> 'year_month', (p_state ->> 'max_id')::bigint, (p_state ->> 'max_adjustment_id')::bigint,
          (p_state ->> 'row_count')::bigint, p_by)
  on conflict (site_id, year_month, max_id, max_adjustment_id) do update -- objects are kept for seven days
    set status = 'QUEUED', attempt_count = 0, rows_done = 0, updated_at = clock_timestamp()
    where x.status in ('FAILED', 'DEAD') or (x.status = 'READY' and x.updated_at < clock_timestamp() - interval '6 days');
  select * into strict e from dispute_exports x
   where x.site_id = (p_state ->> 'site_id')::uuid and x.year_month = p_state ->> 'year_month'
     and x.max_id = (p_state ->> 'max_id')::bigint and x.max_adjustment_id = (p_state ->> 'max_adjustment_id')::bigint;
  return export_row(e);
end $$;
comment on function request_dispute_export(jsonb, text) is 'The export of this month_state: the one that exists, or a new one to be built.';

create function read_dispute_export(p_site uuid, p_month text, p_id bigint) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  e dispute_exports;
begin
  select * into e from dispute_exports x where x.id = p_id and x.site_id = p_site and x.year_month = p_month;
  if not found then raise exception 'The site has no such export.' using errcode = 'RK017'; end if;
  return export_row(e);
end $$;
comment on function read_dispute_export(uuid, text, bigint) is 'One export of the site''s month. Raises RK017.';

create function claim_dispute_export(p_id bigint, p_lease_s integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  e dispute_exports;
begin
  update dispute_exports x
     set status = 'BUILDING', attempt_count = x.attempt_count + 1, rows_done = 0, lease_until = clock_timestamp() + make_interval(secs => p_lease_s), updated_at = clock_timestamp()
   where x.id = p_id and (x.status in ('QUEUED', 'FAILED') or (x.status = 'BUILDING' and x.lease_until < clock_timestamp()))
  returning * into e;
  if not found then return null; end if;
  return export_row(e) || jsonb_build_object('archive_key', month_state(e.site_id, e.year_month) ->> 'archive_key');
end $$;
comment on function claim_dispute_export(bigint, integer) is 'Takes an export to build it, also from a holder whose lease has passed; null when there is nothing to do.';

create function progress_dispute_export(p_id bigint, p_attempt integer, p_rows_done bigint, p_lease_s integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  update dispute_exports x set rows_done = p_rows_done, lease_until = clock_timestamp() + make_interval(secs => p_lease_s), updated_at = clock_timestamp()
   where x.id = p_id and x.status = 'BUILDING' and x.attempt_count = p_attempt;
  return found;
end $$;
comment on function progress_dispute_export(bigint, integer, bigint, integer) is 'Notes progress and extends the lease; false when another holder has taken the export over.';

create function finish_dispute_export(p_id bigint, p_attempt integer, p_object_key text, p_export_hash text, p_bytes bigint, p_error text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  now_status text;
begin
  update dispute_exports x
     set status = case when p_error is null then 'READY' when x.attempt_count >= 3 then 'DEAD' else 'FAILED' end,
         object_key = p_object_key, export_hash = p_export_hash, bytes = p_bytes, last_error = left(p_error, 1000),
         rows_done = case when p_error is null then x.row_count else x.rows_done end, lease_until = null, updated_at = clock_timestamp()
   where x.id = p_id and x.status = 'BUILDING' and x.attempt_count = p_attempt
  returning x.status into now_status;
  return coalesce(now_status, 'LOST');
end $$;
comment on function finish_dispute_export(bigint, integer, text, text, bigint, text) is 'Ends an attempt: READY, or FAILED, or DEAD after 3; LOST when another holder has taken it over.';

create function record_dispute_export(p_user uuid, p_site uuid, p_month text, p_rows bigint, p_export_hash text, p_request_id text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  perform audit(p_user::text, 'dispute_export', 'dispute_export', p_site || ':' || p_month, p_site,
                jsonb_build_object('row_count', p_rows::text, 'export_hash', p_export_hash, 'request_id', p_request_id));
  return true;
end $$;
comment on function record_dispute_export(uuid, uuid, text, bigint, text, text) is 'Audits a download as dispute_export; called before the bytes leave.';

select secure_table('dispute_exports', true);

grant execute on function ledger_page(uuid, text, timestamptz, bigint, bigint, integer, bigint, boolean), adjustment_lines(uuid, text, bigint) to kernel_api, kernel_jobs;

grant execute on function begin_dispute_export(uuid, boolean, text, text), request_dispute_export(jsonb, text), read_dispute_export(uuid, text, bigint),
  record_dispute_export(uuid, uuid, text, bigint, text, text) to kernel_api;

grant execute on function claim_dispute_export(bigint, integer), progress_dispute_export(bigint, integer, bigint, integer),
  finish_dispute_export(bigint, integer, text, text, bigint, text) to kernel_jobs;
