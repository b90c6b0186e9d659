-- The seal of a frozen month: a hash of every ledger row of it, a day at a time, so that one changed byte is found and placed.

create function export_line(p_created_at timestamptz, p_key bytea, p_version smallint, p_state billing_state, p_billable boolean) returns text
language sql stable parallel safe
return utc_text(p_created_at) || ',' || ingest_key_text(p_key) || ',' || p_version || ',' || p_state || ',' || p_billable;
comment on function export_line(timestamptz, bytea, smallint, billing_state, boolean) is
  'A ledger row as the dispute export shows it: created_at, idempotency_key, idempotency_version, billing_state, billable. No field can need quotes.';

create function archive_line(p_created_at timestamptz, p_key bytea, p_version smallint, p_state billing_state, p_billable boolean,
                             p_id bigint, p_reason billing_reason, p_hash bytea) returns text
language sql stable parallel safe
return export_line(p_created_at, p_key, p_version, p_state, p_billable) || ',' || p_id || ',' || p_reason || ',' || coalesce(encode(p_hash, 'hex'), '');
comment on function archive_line(timestamptz, bytea, smallint, billing_state, boolean, bigint, billing_reason, bytea) is
  'A whole ledger row: the export''s five columns, then id, billing_reason, payload_hash. What archives hold and seals hash.';

create table invoice_seals (
  site_id     uuid not null,
  year_month  text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  sealed_at   timestamptz not null default clock_timestamp(),
  row_count   bigint not null,
  ledger_hash text not null,
  days        jsonb not null,
  primary key (site_id, year_month)
);
comment on table invoice_seals is 'days: [{day, rows, billable, overage, hash}] with hash = SHA-256 over the concatenated SHA-256 of each archive_line in order of (created_at, id); ledger_hash = SHA-256 of the lines day|rows|billable|overage|hash joined by LF. Append-only.';

create trigger invoice_seals_append_only before update or delete or truncate on invoice_seals
  for each statement execute function append_only();

create function ledger_days(p_site uuid, p_month text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select coalesce(jsonb_agg(jsonb_build_object('day', d.day, 'rows', d.row_count::text, 'billable', d.billable::text, 'overage', d.overage::text,
                                               'hash', encode(d.hash, 'hex')) order by d.day), '[]')
    from (select left(utc_text(l.created_at), 10) as day, count(*) row_count, count(*) filter (where l.billable) billable,
                 count(*) filter (where l.billable and l.billing_state = 'OVERAGE') overage,
                 sha256(string_agg(sha256(convert_to(archive_line(l.created_at, l.idempotency_key, l.idempotency_version, l.billing_state, l.billable,
                                                                  l.id, l.billing_reason, l.payload_hash), 'UTF8')), '' order by l.created_at, l.id)) hash
            from ingest_idempotency l where l.site_id = p_site and l.year_month = p_month group by 1) d
$$;
comment on function ledger_days(uuid, text) is 'Rows, billable, overage and hash of each day of a site''s month, from the ledger.';

create function seal_hash(p_days jsonb) returns text
language sql immutable parallel safe set search_path = pg_catalog, public as $$
  select encode(sha256(convert_to(coalesce(string_agg(concat_ws('|', d ->> 'day', d ->> 'rows', d ->> 'billable', d ->> 'overage', d ->> 'hash'), E'\n' order by n), ''), 'UTF8')), 'hex')
    from jsonb_array_elements(p_days) with ordinality e (d, n)
$$;
comment on function seal_hash(jsonb) is 'The hash over the days of a seal.';

create function seal_invoice(p_site uuid, p_month text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  seal invoice_seals;
  days jsonb;
begin
  if not exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month) then
    raise exception 'The month % of this site is not frozen.', p_month using errcode = 'RK013';
  end if;
  select * into seal from invoice_seals s where s.site_id = p_site and s.year_month = p_month;
  if not found then
    days := ledger_days(p_site, p_month);
    insert into invoice_seals (site_id, year_month, row_count, ledger_hash, days)
    values (p_site, p_month, (select coalesce(sum((d ->> 'rows')::bigint), 0) from jsonb_array_elements(days) d), seal_hash(days), days)
    on conflict (site_id, year_month) do nothing;
    select * into strict seal from invoice_seals s where s.site_id = p_site and s.year_month = p_month;
  end if;
  return jsonb_build_object('row_count', seal.row_count::text, 'ledger_hash', seal.ledger_hash);
end $$;
comment on function seal_invoice(uuid, text) is
  'Third part of a freeze: hashes the rows of the frozen month once; repeatable, the first seal stays. Raises RK013.';

create or replace function sites_to_freeze(p_month text, p_after uuid, p_limit integer) returns table (site_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select s.id from sites s
    left join invoice_snapshot i on i.site_id = s.id and i.year_month = p_month
   where s.created_at < month_start(p_month) + interval '1 month' and (p_after is null or s.id > p_after)
     and (i.site_id is null or i.hash_version > 0 and not exists (select from invoice_seals x where x.site_id = s.id and x.year_month = p_month))
   order by s.id limit least(greatest(p_limit, 1), 1000)
$$;
comment on function sites_to_freeze(text, uuid, integer) is
  'Sites that existed in the month and whose invoice of it is missing or has no seal, closed ones and ones without events too; in order of id after p_after.';

select secure_table('invoice_seals', true);

grant execute on function seal_invoice(uuid, text), ledger_days(uuid, text) to kernel_jobs;
