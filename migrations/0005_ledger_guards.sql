-- What nobody may do to the ledger, whatever the role: statement triggers, on every partition too, for a partition can be named directly.

create function frozen_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from (select distinct site_id, year_month from changed) c
             join invoice_snapshot s using (site_id, year_month)) then
    raise exception 'The month is frozen.' using errcode = 'RK010';
  end if;
  return null;
end $$;
comment on function frozen_guard() is 'Statement trigger: no ledger row enters a month whose invoice is frozen. Raises RK010.';

do $$
declare
  t text;
begin
  for i in 0..7 loop
    execute format('create table ingest_idempotency_p%s partition of ingest_idempotency for values with (modulus 8, remainder %s) '
      'with (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_freeze_min_age = 10000000)', i, i);
    execute format('comment on table ingest_idempotency_p%s is %L', i, 'One hash partition of the usage ledger.');
  end loop;
  for t in select 'ingest_idempotency' union all select 'ingest_idempotency_p' || i from generate_series(0, 7) i loop
    execute format('create trigger ingest_append_only before update or delete or truncate on %I for each statement execute function append_only()', t);
    execute format('create trigger ingest_frozen after insert on %I referencing new table as changed for each statement execute function frozen_guard()', t);
  end loop;
end $$;

create function invoice_snapshot_immutable() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  raise exception 'invoice_snapshot is immutable' using errcode = 'integrity_constraint_violation';
end $$;
comment on function invoice_snapshot_immutable() is 'Statement trigger: a frozen invoice is final for every role. Raises 23000.';

create trigger invoice_snapshot_no_update before update on invoice_snapshot for each statement execute function invoice_snapshot_immutable();

create trigger invoice_snapshot_no_delete before delete on invoice_snapshot for each statement execute function invoice_snapshot_immutable();

create trigger invoice_snapshot_no_truncate before truncate on invoice_snapshot for each statement execute function invoice_snapshot_immutable();

create function lock_site(p_site uuid) returns void
language sql volatile
return pg_advisory_xact_lock(hashtextextended('site:' || p_site::text, 0));
comment on function lock_site(uuid) is 'Waits for the site''s transaction lock. Every writer of ledger, usage or snapshot takes it first, and never two sites in one transaction: so no deadlock and no month-edge race.';

create function utc_text(timestamptz) returns text
language sql stable parallel safe
return to_char($1 at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function utc_text(timestamptz) is 'An instant as answers and exports show it: UTC with microseconds.';

create function ingest_key_text(p_key bytea) returns text
language sql immutable parallel safe
return case length(p_key) when 33 then 'v2:' || encode(substr(p_key, 2), 'hex')
                          when 16 then 'v3:' || encode(p_key, 'hex') else encode(p_key, 'hex') end;
comment on function ingest_key_text(bytea) is 'The idempotency key as exports and answers show it: 64 hex digits, v2: and 64, or v3: and 32.';

create function ingest_uuid(p_id bigint, p_created_at timestamptz) returns uuid
language sql immutable parallel safe
return (lpad(to_hex(floor(extract(epoch from p_created_at) * 1000)::bigint), 12, '0') || '7000'
        || to_hex(p_id + '-9223372036854775808'::bigint))::uuid;
comment on function ingest_uuid(bigint, timestamptz) is 'The ingest_id of a ledger row: a UUIDv7 that carries its millisecond and its id, so it needs no column and no index. p_id < 2^60.';

create function ingest_uuid_id(p_ingest_id uuid) returns bigint
language sql immutable parallel safe
return ('x' || '0' || substr(replace(p_ingest_id::text, '-', ''), 18))::bit(64)::bigint;
comment on function ingest_uuid_id(uuid) is 'The ledger id inside an ingest_id.';
