-- What a sweep must not leave behind when clocks disagree, a seal whose own count was touched, an archive with a wrong sum, and the first canary of two.

create or replace function expire_personal_data(p_days integer, p_limit integer, p_dry_run boolean) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  due      bigint[];
  affected bigint;
  mark     bigint;
  cutoff   timestamptz := clock_timestamp() - make_interval(days => greatest(p_days, 1));
begin
  select m.last_id into mark from retention_marks m where m.kind = 'personal_data';
  if p_dry_run then
    return (select count(*) from events e where e.id > mark and e.received_at < cutoff and (e.client_ip is not null or e.user_agent is not null));
  end if;
  due := array(select e.id from events e
                where e.id > mark and e.received_at < cutoff and (e.client_ip is not null or e.user_agent is not null)
                order by e.id limit least(greatest(p_limit, 1), 10000));
  if cardinality(due) = 0 then return 0; end if;
  update events e set client_ip = null, user_agent = null where e.id = any (due);
  get diagnostics affected = row_count;
  update retention_marks -- an id does not follow the clock: the mark stops before the first event that is still young
     set last_id = coalesce((select min(e.id) - 1 from events e where e.id > mark and e.id <= due[cardinality(due)] and e.received_at >= cutoff), due[cardinality(due)]),
         updated_at = clock_timestamp() where kind = 'personal_data';
  return affected;
end $$;
comment on function expire_personal_data(integer, integer, boolean) is
  'Removes address and user agent from at most 10,000 events older than p_days and returns how many had any; a dry run counts all and writes nothing.';

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
  'Recomputes a frozen invoice from the ledger: hash_ok (the invoice''s own hash), ledger_ok (the counts), seal_ok (every byte of every row, with the days that differ); the archive stands for rows that were purged. Raises RK013.';

create or replace function record_archive(p_site uuid, p_month text, p_window_days integer, p_archive jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  seal    invoice_seals;
  claimed jsonb := jsonb_build_array(p_archive -> 'row_count', p_archive -> 'billable', p_archive -> 'overage', p_archive -> 'ledger_hash');
  sealed  jsonb;
begin
  perform require_purgeable(p_site, p_month, p_window_days);
  select * into strict seal from invoice_seals s where s.site_id = p_site and s.year_month = p_month;
  select jsonb_build_array(seal.row_count::text, coalesce(sum((d ->> 'billable')::bigint), 0)::text, coalesce(sum((d ->> 'overage')::bigint), 0)::text, seal.ledger_hash)
    into sealed from jsonb_array_elements(seal.days) d;
  if claimed <> sealed then
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
  'Notes that the month lies in the archive; only when all its counts and its hash are those of the seal. Audited as ledger_archive. Raises RK016.';

create or replace function canary_site() returns text
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  created uuid;
begin
  if not exists (select from sites s where s.synthetic) then
    perform pg_advisory_xact_lock(hashtextextended('canary', 0)); -- the second of two first callers waits for the site, it does not go without
    insert into sites (public_id, name, origins, synthetic)
    select 'canary-' || encode(substr(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 1, 8), 'hex'), 'Canary (synthetic, never billed)', array['https://canary.invalid'], true
     where not exists (select from sites s where s.synthetic)
    returning id into created;
    if created is not null then
      insert into site_plans (site_id, plan_tier, monthly_limit, billing_policy) values (created, 'canary', 0, 'by_kind');
    end if;
  end if;
  return (select s.public_id from sites s where s.synthetic order by s.created_at limit 1);
end $$;
comment on function canary_site() is 'The public id of the synthetic site, created at the first call. Its plan bills nothing: quota 0, and events of the kind system are never billable.';
