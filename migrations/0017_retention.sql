-- The end of a month's life in the ledger: frozen, beyond its dispute window and archived, it may leave; nothing else may.

create table ledger_archives (
  site_id        uuid not null,
  year_month     text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  archived_at    timestamptz not null default clock_timestamp(),
  object_key     text not null,
  row_count      bigint not null,
  billable       bigint not null,
  overage        bigint not null,
  max_id         bigint not null,
  ledger_hash    text not null,
  content_sha256 text not null,
  object_sha256  text not null,
  bytes          bigint not null,
  primary key (site_id, year_month)
);
comment on table ledger_archives is 'Archived months: content_sha256 of the CSV, object_sha256 of the compressed object, ledger_hash as in the seal. Append-only.';

create table ledger_purges (
  site_id    uuid not null,
  year_month text not null,
  purged_at  timestamptz not null default clock_timestamp(),
  primary key (site_id, year_month)
);
comment on table ledger_purges is 'Months whose ledger rows are gone, all of them archived (or none to begin with). Append-only.';

create trigger ledger_archives_append_only before update or delete or truncate on ledger_archives for each statement execute function append_only();
create trigger ledger_purges_append_only before update or delete or truncate on ledger_purges for each statement execute function append_only();

create function ledger_delete_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if coalesce(current_setting('app.purge', true), '') = '' then
    raise exception '% is append-only', tg_table_name using errcode = 'RK011';
  end if;
  return null;
end $$;
comment on function ledger_delete_guard() is 'Statement trigger: only purge_ledger deletes, which says what it purges; anything else, even what matches no row, raises RK011.';

create function ledger_purge_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from (select distinct r.site_id, r.year_month from removed r) d
              where d.site_id || ':' || d.year_month <> current_setting('app.purge', true)
                 or not exists (select from ledger_archives a where a.site_id = d.site_id and a.year_month = d.year_month)) then
    raise exception 'Only rows of an archived month may leave the ledger.' using errcode = 'RK016';
  end if;
  return null;
end $$;
comment on function ledger_purge_guard() is 'Statement trigger: every deleted row belongs to the month being purged, and that month is archived. Raises RK016.';

do $$
declare
  t text;
begin
  for t in select 'ingest_idempotency' union all select 'ingest_idempotency_p' || i from generate_series(0, 7) i loop
    execute format('drop trigger ingest_append_only on %I', t);
    execute format('create trigger ingest_append_only before update or truncate on %I for each statement execute function append_only()', t);
    execute format('create trigger ingest_delete before delete on %I for each statement execute function ledger_delete_guard()', t);
    execute format('create trigger ingest_purge after delete on %I referencing old table as removed for each statement execute function ledger_purge_guard()', t);
  end loop;
end $$;

create function month_state(p_site uuid, p_month text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('site_id', p_site, 'public_id', s.public_id, 'year_month', p_month,
    'row_count', coalesce(a.row_count, g.row_count)::text, 'max_id', coalesce(a.max_id, g.max_id, 0)::text,
    'max_adjustment_id', coalesce((select max(x.id) from invoice_adjustments x where x.site_id = p_site and x.year_month = p_month), 0)::text,
    'snapshot_hash', (select i.snapshot_hash from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month),
    'archive_key', case when a.row_count > g.row_count then a.object_key end)
    from sites s
    cross join (select count(*) row_count, max(l.id) max_id from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month) g
    left join ledger_archives a on a.site_id = s.id and a.year_month = p_month
   where s.id = p_site
$$;
comment on function month_state(uuid, text) is 'What an export of the month would hold now; archive_key when the ledger''s rows have been purged after their archive.';

create function months_to_purge(p_window_days integer, p_after_site uuid, p_after_month text, p_limit integer)
returns table (site_id uuid, year_month text, archived boolean)
language sql stable security definer set search_path = pg_catalog, public as $$
  select i.site_id, i.year_month, exists (select from ledger_archives a where a.site_id = i.site_id and a.year_month = i.year_month)
    from invoice_snapshot i join invoice_seals s using (site_id, year_month)
   where month_start(i.year_month) + interval '1 month' + make_interval(days => greatest(p_window_days, 90)) <= clock_timestamp()
     and i.generated_at <= clock_timestamp() - interval '1 month'
     and not exists (select from ledger_purges p where p.site_id = i.site_id and p.year_month = i.year_month)
     and (p_after_site is null or (i.site_id, i.year_month) > (p_after_site, p_after_month))
   order by i.site_id, i.year_month limit least(greatest(p_limit, 1), 1000)
$$;
comment on function months_to_purge(integer, uuid, text, integer) is
  'Frozen and sealed months whose dispute window (never below 90 days after the month''s end) has passed and whose invoice is a month old; in order after (p_after_site, p_after_month).';

create function require_purgeable(p_site uuid, p_month text, p_window_days integer) returns void
language plpgsql stable security definer set search_path = pg_catalog, public as $$
begin
  if not exists (select from invoice_snapshot i join invoice_seals s using (site_id, year_month)
                  where i.site_id = p_site and i.year_month = p_month and i.generated_at <= clock_timestamp() - interval '1 month') then
    raise exception 'The month % is not frozen, or was frozen less than a month ago.', p_month using errcode = 'RK016';
  end if;
  if month_start(p_month) + interval '1 month' + make_interval(days => greatest(p_window_days, 90)) > clock_timestamp() then
    raise exception 'The dispute window of the month % is still open.', p_month using errcode = 'RK016';
  end if;
end $$;
comment on function require_purgeable(uuid, text, integer) is 'Raises RK016 unless the month is frozen, sealed and beyond its dispute window.';

create function record_archive(p_site uuid, p_month text, p_window_days integer, p_archive jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  seal invoice_seals;
begin
  perform require_purgeable(p_site, p_month, p_window_days);
  select * into strict seal from invoice_seals s where s.site_id = p_site and s.year_month = p_month;
  if seal.row_count <> (p_archive ->> 'row_count')::bigint or seal.ledger_hash <> p_archive ->> 'ledger_hash' then
    raise exception 'The archive of % does not match its seal.', p_month using errcode = 'RK016';
  end if;
  insert into ledger_archives (site_id, year_month, object_key, row_count, billable, overage, max_id, ledger_hash, content_sha256, object_sha256, bytes)
  select p_site, p_month, a.object_key, a.row_count, a.billable, a.overage, a.max_id, a.ledger_hash, a.content_sha256, a.object_sha256, a.bytes
    from jsonb_to_record(p_archive) a (object_key text, row_count bigint, billable bigint, overage bigint, max_id bigint, ledger_hash text, content_sha256 text, object_sha256 text, bytes bigint)
  on conflict (site_id, year_month) do nothing;
  if found then
    perform audit('cron', 'ledger_archive', 'ledger', p_site || ':' || p_month, p_site, p_archive);
  end if;
  return found;
end $$;
comment on function record_archive(uuid, text, integer, jsonb) is
  'Notes that the month lies in the archive; only when its counts and hash are those of the seal. Audited as ledger_archive. Raises RK016.';

create function purge_ledger(p_site uuid, p_month text, p_window_days integer, p_limit integer, p_dry_run boolean) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '10s' as $$
declare
  affected bigint;
begin
  perform require_purgeable(p_site, p_month, p_window_days);
  if p_dry_run then
    return (select count(*) from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month);
  end if;
  perform lock_site(p_site);
  perform set_config('app.purge', p_site || ':' || p_month, true);
  delete from ingest_idempotency l -- one site lies in one partition, so a ctid is unique
   where l.site_id = p_site and l.ctid = any (array(
     select r.ctid from ingest_idempotency r where r.site_id = p_site and r.year_month = p_month limit least(greatest(p_limit, 1), 10000)));
  get diagnostics affected = row_count;
  perform set_config('app.purge', '', true);
  if affected = 0 then
    insert into ledger_purges (site_id, year_month) values (p_site, p_month) on conflict do nothing;
    perform audit('cron', 'ledger_purge', 'ledger', p_site || ':' || p_month, p_site, '{}');
  end if;
  return affected;
end $$;
comment on function purge_ledger(uuid, text, integer, integer, boolean) is
  'Deletes at most 10,000 rows of an archived month and returns how many; 0 ends it and is audited as ledger_purge. A dry run counts all and writes nothing. Raises RK016 (not frozen, window open, not archived).';


select secure_table('ledger_archives', true);
select secure_table('ledger_purges', true);

grant execute on function month_state(uuid, text) to kernel_api;

grant execute on function month_state(uuid, text), months_to_purge(integer, uuid, text, integer), record_archive(uuid, text, integer, jsonb),
  purge_ledger(uuid, text, integer, integer, boolean) to kernel_jobs;

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
    'seal', case when seal.site_id is not null then jsonb_build_object('sealed_at', utc_text(seal.sealed_at), 'row_count', seal.row_count::text, 'ledger_hash', seal.ledger_hash) end,
    'archive', case when archive.site_id is not null then jsonb_build_object('archived_at', utc_text(archive.archived_at), 'object_key', archive.object_key,
                      'content_sha256', archive.content_sha256, 'object_sha256', archive.object_sha256, 'purged', purged) end,
    'hash_ok', i.hash_version = 1 and i.snapshot_hash = invoice_hash(p_site, p_month, i.event_count, i.overage_count, i.commit_sha),
    'ledger_ok', events = i.event_count and overage = i.overage_count,
    'seal_ok', seal.site_id is not null and seal.ledger_hash = hash and seal.ledger_hash = seal_hash(seal.days),
    'changed_days', case when seal.site_id is not null and not purged then (
        select coalesce(jsonb_agg(coalesce(n.d ->> 'day', o.d ->> 'day') order by coalesce(n.d ->> 'day', o.d ->> 'day')), '[]')
          from jsonb_array_elements(days) n (d) full join jsonb_array_elements(seal.days) o (d) on n.d ->> 'day' = o.d ->> 'day'
         where n.d is distinct from o.d) end);
end $$;
comment on function verify_invoice(uuid, text) is
  'Recomputes a frozen invoice from the ledger: hash_ok (the invoice''s own hash), ledger_ok (the counts), seal_ok (every byte of every row, with the days that differ); the archive stands for rows that were purged. Raises RK013.';

create function read_invoice_proof(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return verify_invoice(require_capability(p_user, p_platform_admin, p_ref, 'billing:view'), p_month);
end $$;
comment on function read_invoice_proof(uuid, boolean, text, text) is 'verify_invoice for a user who holds billing:view. Raises RK014, RK013.';

grant execute on function read_invoice_proof(uuid, boolean, text, text) to kernel_api;
