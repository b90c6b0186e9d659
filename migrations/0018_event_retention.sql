-- Events live shorter than the ledger, and personal data shorter still; what is erased keeps its proof in the ledger.

create table retention_marks (
  kind       text primary key check (kind in ('personal_data')),
  last_id    bigint not null default 0,
  updated_at timestamptz not null default clock_timestamp()
);
comment on table retention_marks is 'How far a sweep over events has come, by id.';
insert into retention_marks (kind) values ('personal_data');

create function expire_events(p_days integer, p_limit integer, p_dry_run boolean) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  affected bigint;
  cutoff   timestamptz := clock_timestamp() - make_interval(days => greatest(p_days, 1));
begin
  if p_dry_run then
    return (select count(*) from events e where e.received_at < cutoff
             and exists (select from invoice_snapshot i where i.site_id = e.site_id and i.year_month = utc_year_month(e.received_at)));
  end if;
  delete from events e where e.id = any (array(
    select x.id from events x where x.received_at < cutoff
       and exists (select from invoice_snapshot i where i.site_id = x.site_id and i.year_month = utc_year_month(x.received_at))
     order by x.id limit least(greatest(p_limit, 1), 10000)));
  get diagnostics affected = row_count;
  return affected;
end $$;
comment on function expire_events(integer, integer, boolean) is
  'Deletes at most 10,000 delivered events older than p_days whose month is frozen, for reconciliation still needs those of an open month; returns how many. A dry run counts all and writes nothing.';

create function expire_personal_data(p_days integer, p_limit integer, p_dry_run boolean) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  upto     bigint;
  affected bigint;
  mark     bigint;
  cutoff   timestamptz := clock_timestamp() - make_interval(days => greatest(p_days, 1));
begin
  select m.last_id into mark from retention_marks m where m.kind = 'personal_data';
  if p_dry_run then
    return (select count(*) from events e where e.id > mark and e.received_at < cutoff and (e.client_ip is not null or e.user_agent is not null));
  end if;
  select max(x.id) into upto from (select e.id from events e where e.id > mark and e.received_at < cutoff order by e.id limit least(greatest(p_limit, 1), 10000)) x;
  if upto is null then return 0; end if;
  update events e set client_ip = null, user_agent = null
   where e.id > mark and e.id <= upto and e.received_at < cutoff;
  get diagnostics affected = row_count;
  update retention_marks set last_id = upto, updated_at = clock_timestamp() where kind = 'personal_data';
  return affected;
end $$;
comment on function expire_personal_data(integer, integer, boolean) is
  'Removes address and user agent from at most 10,000 events older than p_days and returns how many; a dry run counts all and writes nothing.';

create function erase_payloads(p_user uuid, p_platform_admin boolean, p_ref text, p_selector jsonb, p_limit integer) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'site:write');
begin
  return erase_site_payloads(site, p_selector, p_limit, p_user::text);
end $$;
comment on function erase_payloads(uuid, boolean, text, jsonb, integer) is 'erase_site_payloads for a user who holds site:write. Raises RK014.';

create function erase_site_payloads(p_site uuid, p_selector jsonb, p_limit integer, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  only_id  bigint := ingest_uuid_id((p_selector ->> 'ingest_id')::uuid);
  most     integer := least(greatest(p_limit, 1), 10000);
  erased   bigint;
  waiting  bigint;
begin
  update events e set payload = '{"erased": true}', client_ip = null, user_agent = null, request_id = null
   where e.id = any (array(
     select x.id from events x
      where x.site_id = p_site and x.payload <> '{"erased": true}' and (only_id is null or x.id = only_id)
        and (p_selector ->> 'sid' is null or x.payload ->> 'sid' = p_selector ->> 'sid')
        and (p_selector ->> 'fp' is null or x.payload #>> '{meta,fp}' = p_selector ->> 'fp')
      order by x.id limit most));
  get diagnostics erased = row_count;
  update ingest_fallback_buffer o set payload = '{"erased": true}', client_ip = null, user_agent = null, request_id = null
   where o.site_id = p_site and o.payload <> '{"erased": true}' and (only_id is null or o.id = only_id)
     and (p_selector ->> 'sid' is null or o.payload ->> 'sid' = p_selector ->> 'sid')
     and (p_selector ->> 'fp' is null or o.payload #>> '{meta,fp}' = p_selector ->> 'fp');
  get diagnostics waiting = row_count;
  perform audit(p_actor, 'payload_erase', 'events', encode(sha256(convert_to(p_selector::text, 'UTF8')), 'hex'), p_site,
                jsonb_build_object('erased', (erased + waiting)::text));
  return jsonb_build_object('erased', (erased + waiting)::text, 'done', erased < most);
end $$;
comment on function erase_site_payloads(uuid, jsonb, integer, text) is
  'Erases payload, address, user agent and request id of the events that match {ingest_id | sid | fp}, at most 10,000 a call; ledger row and delivery stay as proof. Audited as payload_erase, with a hash of the selector.';


select secure_table('retention_marks', false);

grant execute on function expire_events(integer, integer, boolean), expire_personal_data(integer, integer, boolean) to kernel_jobs;

grant execute on function erase_payloads(uuid, boolean, text, jsonb, integer), erase_site_payloads(uuid, jsonb, integer, text) to kernel_api;
