-- The rows behind a number: a site's month by day and by verdict, and its lines as the seal hashes them.

create function site_days(p_site uuid, p_month text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'accepted', d.accepted::text, 'overage', d.overage::text, 'rejected', d.rejected::text, 'unbilled', d.unbilled::text) order by d.day), '[]')
    from (select (l.created_at at time zone 'UTC')::date as day, count(*) filter (where l.billable and l.billing_state <> 'OVERAGE') accepted,
                 count(*) filter (where l.billable and l.billing_state = 'OVERAGE') overage, count(*) filter (where l.billing_state = 'REJECTED_QUOTA') rejected,
                 count(*) filter (where not l.billable and l.billing_state <> 'REJECTED_QUOTA') unbilled
            from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month group by 1) d
$$;
comment on function site_days(uuid, text) is 'The ledger of a site''s month by UTC day and verdict.';

create function read_site_days(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site  uuid := require_capability(p_user, p_platform_admin, p_ref, 'billing:view');
  month text := coalesce(p_month, utc_year_month(clock_timestamp()));
begin
  return jsonb_build_object('site_id', site, 'year_month', month, 'as_of', utc_text(clock_timestamp()), 'days', site_days(site, month));
end $$;
comment on function read_site_days(uuid, boolean, text, text) is 'site_days for a user who holds billing:view. p_month null = the current UTC month. Raises RK014.';

create function ledger_row(l ingest_idempotency) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('ingest_id', case when l.billing_state <> 'REJECTED_QUOTA' then ingest_uuid(l.id, l.created_at) end, 'created_at', utc_text(l.created_at), 'idempotency_key', ingest_key_text(l.idempotency_key),
    'idempotency_version', l.idempotency_version, 'billing_state', l.billing_state, 'billing_reason', l.billing_reason, 'billable', l.billable,
    'payload_hash', encode(l.payload_hash, 'hex'), 'year_month', l.year_month)
$$;
comment on function ledger_row(ingest_idempotency) is 'A ledger row for people; a rejected one has no ingest_id, for nothing was taken in.';

create function site_rows(p_site uuid, p_month text, p_filter jsonb, p_before timestamptz, p_before_id bigint, p_limit integer) returns table (result jsonb, cursor text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select ledger_row(l) || jsonb_build_object('delivery', case when l.billing_state = 'REJECTED_QUOTA' then 'none'
             when exists (select from events e where e.id = l.id) then 'delivered'
             when exists (select from ingest_fallback_buffer o where o.id = l.id and o.status = 'FAILED') then 'failed'
             when exists (select from ingest_fallback_buffer o where o.id = l.id) then 'waiting' else 'removed' end,
           'conflicts', (select count(*)::text from ingest_conflicts c where c.site_id = l.site_id and c.idempotency_key = l.idempotency_key)),
         utc_text(l.created_at) || ' ' || l.id
    from ingest_idempotency l
   where l.site_id = p_site and l.year_month = p_month and (p_before is null or (l.created_at, l.id) < (p_before, p_before_id))
     and (p_filter ->> 'day' is null or l.created_at >= (p_filter ->> 'day')::date::timestamp at time zone 'UTC' and l.created_at < ((p_filter ->> 'day')::date + 1)::timestamp at time zone 'UTC')
     and case coalesce(p_filter ->> 'verdict', 'all') when 'all' then true
           when 'counted' then l.billable when 'accepted' then l.billable and l.billing_state <> 'OVERAGE' when 'overage' then l.billable and l.billing_state = 'OVERAGE'
           when 'rejected_quota' then l.billing_state = 'REJECTED_QUOTA' when 'unbilled' then not l.billable and l.billing_state <> 'REJECTED_QUOTA'
           when 'conflict' then exists (select from ingest_conflicts c where c.site_id = l.site_id and c.idempotency_key = l.idempotency_key)
           when 'waiting' then exists (select from ingest_fallback_buffer o where o.id = l.id)
           when 'undelivered' then l.billing_state <> 'REJECTED_QUOTA' and not exists (select from events e where e.id = l.id) and not exists (select from ingest_fallback_buffer o where o.id = l.id)
           else false end
   order by l.created_at desc, l.id desc limit least(greatest(p_limit, 1), 200) + 1
$$;
comment on function site_rows(uuid, text, jsonb, timestamptz, bigint, integer) is
  'Rows of a site''s month, newest first; p_filter: {day, verdict}, verdict one of all, counted, accepted, overage, rejected_quota, unbilled, conflict, waiting, undelivered (neither delivered nor waiting: removed by retention, or lost).';

create function read_site_rows(p_user uuid, p_platform_admin boolean, p_ref text, p_month text, p_filter jsonb, p_before timestamptz, p_before_id bigint, p_limit integer) returns table (result jsonb, cursor text)
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'billing:view');
begin
  return query select r.result, r.cursor from site_rows(site, coalesce(p_month, utc_year_month(clock_timestamp())), p_filter, p_before, p_before_id, p_limit) r;
end $$;
comment on function read_site_rows(uuid, boolean, text, text, jsonb, timestamptz, bigint, integer) is 'site_rows for a user who holds billing:view. Raises RK014.';

create function read_sealed_lines(p_user uuid, p_platform_admin boolean, p_ref text, p_month text, p_after timestamptz, p_after_id bigint, p_until timestamptz, p_limit integer)
returns table (chunk text, row_count integer, last_at text, last_id bigint, done boolean)
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'billing:view');
begin
  return query select p.chunk, p.row_count, p.last_at, p.last_id, p.done or p.last_at >= utc_text(p_until)
    from ledger_page(site, p_month, p_after, p_after_id, 9223372036854775807, least(greatest(p_limit, 1), 4000), 86400000, true) p;
end $$;
comment on function read_sealed_lines(uuid, boolean, text, text, timestamptz, bigint, timestamptz, integer) is
  'The lines of a site''s month as its seal hashes them (archive_line), in order of created_at and id, for a user who holds billing:view; done once the month or p_until is reached. Rows that have left the ledger are in its archive only. Raises RK014.';

create or replace function verify_invoice(p_site uuid, p_month text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  i       invoice_snapshot;
  seal    invoice_seals;
  archive ledger_archives;
  purged  boolean;
  days    jsonb;
  events  bigint;
  overage bigint;
  hash    text;
begin
  select * into i from invoice_snapshot s where s.site_id = p_site and s.year_month = p_month;
  if not found then
    raise exception 'The month % of this site is not frozen.', p_month using errcode = 'RK013';
  end if;
  select * into seal from invoice_seals s where s.site_id = p_site and s.year_month = p_month;
  select * into archive from ledger_archives a where a.site_id = p_site and a.year_month = p_month;
  purged := archive.site_id is not null and archive.row_count > (select count(*) from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month);
  if purged then -- its rows are leaving or have left: the archive stands for them
    events := archive.billable; overage := archive.overage; hash := archive.ledger_hash; days := seal.days;
  else
    days := ledger_days(p_site, p_month);
    select coalesce(sum((d ->> 'billable')::bigint), 0), coalesce(sum((d ->> 'overage')::bigint), 0) into events, overage from jsonb_array_elements(days) d;
    hash := seal_hash(days);
  end if;
  return jsonb_build_object('site_id', p_site, 'year_month', p_month, 'hash_version', i.hash_version, 'frozen_at', utc_text(i.generated_at),
    'event_count', i.event_count::text, 'overage_count', i.overage_count::text, 'snapshot_hash', i.snapshot_hash, 'commit_sha', i.commit_sha,
    'ledger', jsonb_build_object('event_count', events::text, 'overage_count', overage::text, 'hash', hash, 'days', days),
    'seal', case when seal.site_id is not null then jsonb_build_object('sealed_at', utc_text(seal.sealed_at), 'row_count', seal.row_count::text, 'ledger_hash', seal.ledger_hash, 'days', seal.days) end,
    'archive', case when archive.site_id is not null then jsonb_build_object('archived_at', utc_text(archive.archived_at), 'object_key', archive.object_key,
                      'content_sha256', archive.content_sha256, 'object_sha256', archive.object_sha256, 'purged', purged) end,
    'hash_ok', coalesce(i.hash_version = 1 and i.snapshot_hash = invoice_hash(p_site, p_month, i.event_count, i.overage_count, i.commit_sha), false), -- null where either was removed
    'ledger_ok', events = i.event_count and overage = i.overage_count,
    'seal_ok', seal.site_id is not null and seal.ledger_hash = hash and seal.ledger_hash = seal_hash(seal.days)
               and seal.row_count = (select coalesce(sum((d ->> 'rows')::bigint), 0) from jsonb_array_elements(seal.days) d),
    'changed_days', case when seal.site_id is not null and not purged then (
        select coalesce(jsonb_agg(coalesce(n.d ->> 'day', o.d ->> 'day') order by coalesce(n.d ->> 'day', o.d ->> 'day')), '[]')
          from jsonb_array_elements(days) n (d) full join jsonb_array_elements(seal.days) o (d) on n.d ->> 'day' = o.d ->> 'day'
         where n.d is distinct from o.d) end);
end $$;
comment on function verify_invoice(uuid, text) is
  'Recomputes a frozen invoice from the ledger: hash_ok (the invoice''s own hash), ledger_ok (the counts), seal_ok (every byte of every row, with the days that differ); the archive stands for rows that were purged. Raises RK013. seal.days: as sealed at the freeze, so that whoever recounts sees which day differs.';

grant execute on function site_days(uuid, text), read_site_days(uuid, boolean, text, text), site_rows(uuid, text, jsonb, timestamptz, bigint, integer),
  read_site_rows(uuid, boolean, text, text, jsonb, timestamptz, bigint, integer), read_sealed_lines(uuid, boolean, text, text, timestamptz, bigint, timestamptz, integer) to kernel_api;
