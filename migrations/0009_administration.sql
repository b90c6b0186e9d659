-- What the operator does to a site; each change is audited in its own commit. Only the api function may call these.

create function find_site(p_ref text) returns uuid
language sql stable security definer set search_path = pg_catalog, public as $$
  select id from sites
   where id = case when replace(p_ref, '-', '') ~ '^[0-9a-fA-F]{32}$' then replace(p_ref, '-', '')::uuid end or public_id = p_ref
   order by (public_id = p_ref) limit 1
$$;
comment on function find_site(text) is 'The id of the site with this id (hyphens optional) or public id; null when there is none.';

create function require_site(p_ref text) returns uuid
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  found_id uuid := find_site(p_ref);
begin
  if found_id is null then
    raise exception 'The site is unknown or closed.' using errcode = 'RK003';
  end if;
  return found_id;
end $$;
comment on function require_site(text) is 'As find_site, but raises RK003 when there is none.';

create function site_for_ingest(p_ref text, p_key_hash text default null,
  out id uuid, out public_id text, out origins text[], out rate_limit integer, out key_version smallint,
  out next_key_version smallint, out next_key_month text, out key_hash text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select s.id, s.public_id, s.origins, s.rate_limit, s.key_version, s.next_key_version, s.next_key_month,
         (select encode(k.key_hash, 'hex') from site_api_keys k
           where k.site_id = s.id and k.key_hash = decode(p_key_hash, 'hex') and k.revoked_at is null)
    from sites s where s.id = find_site(p_ref) and s.status = 'active'
$$;
comment on function site_for_ingest(text, text) is 'What ingest caches of an active site for at most 30 s, and the key''s hash when it is a live key of that site; no row when the site is unknown or closed.';

create function site_row(p_site uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', s.id, 'public_id', s.public_id, 'name', s.name, 'origins', s.origins, 'status', s.status,
    'user_id', s.user_id, 'rate_limit', s.rate_limit, 'billing_enforcement', s.billing_enforcement, 'key_version', s.key_version,
    'created_at', to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'live_keys', (select count(*) from site_api_keys k where k.site_id = s.id and k.revoked_at is null),
    'plan', (select jsonb_build_object('plan_tier', coalesce(p.plan_tier, 'default'),
              'monthly_limit', coalesce(p.monthly_limit, d.monthly_limit)::text,
              'soft_limit_enabled', coalesce(p.soft_limit_enabled, d.soft_limit_enabled),
              'hard_cap_multiplier', trim_scale(coalesce(p.hard_cap_multiplier, d.hard_cap_multiplier))::text,
              'billing_policy', coalesce(p.billing_policy, 'all'))
             from default_plan() d left join site_plans p on p.site_id = s.id))
    from sites s where s.id = p_site
$$;
comment on function site_row(uuid) is 'A site with its plan, as the API shows it; counts as decimal strings.';

create function set_site_plan(p_ref text, p_plan jsonb, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  insert into site_plans as p (site_id, plan_tier, monthly_limit, soft_limit_enabled, hard_cap_multiplier, billing_policy)
  select site, coalesce(p_plan ->> 'plan_tier', 'custom'), (p_plan ->> 'monthly_limit')::bigint,
         coalesce((p_plan ->> 'soft_limit_enabled')::boolean, false), coalesce((p_plan ->> 'hard_cap_multiplier')::numeric, 2),
         coalesce(p_plan ->> 'billing_policy', 'all')
  on conflict (site_id) do update set
    plan_tier = coalesce(p_plan ->> 'plan_tier', p.plan_tier), monthly_limit = excluded.monthly_limit,
    soft_limit_enabled = coalesce((p_plan ->> 'soft_limit_enabled')::boolean, p.soft_limit_enabled),
    hard_cap_multiplier = coalesce((p_plan ->> 'hard_cap_multiplier')::numeric, p.hard_cap_multiplier),
    billing_policy = coalesce(p_plan ->> 'billing_policy', p.billing_policy);
  perform audit(p_actor, 'plan_set', 'site_plan', site::text, site, p_plan);
  return site_row(site) -> 'plan';
end $$;
comment on function set_site_plan(text, jsonb, text) is 'Sets limit and, where given, softness, multiplier, tier and billing policy of a site''s plan; audited as plan_set. It takes effect with the next event. Raises RK003.';

create function create_site(p_site jsonb, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := coalesce((p_site ->> 'id')::uuid, gen_random_uuid());
begin
  insert into sites (id, public_id, user_id, name, origins, rate_limit)
  values (site, coalesce(p_site ->> 'public_id', 's_' || left(replace(gen_random_uuid()::text, '-', ''), 20)), (p_site ->> 'user_id')::uuid,
          p_site ->> 'name', array(select jsonb_array_elements_text(p_site -> 'origins')), (p_site ->> 'rate_limit')::integer);
  perform audit(p_actor, 'site_create', 'site', site::text, site, p_site);
  if p_site -> 'plan' is not null then
    perform set_site_plan(site::text, p_site -> 'plan', p_actor);
  end if;
  return site_row(site);
end $$;
comment on function create_site(jsonb, text) is 'Creates a site {name, origins, user_id?, rate_limit?, plan?, id?, public_id?}; audited as site_create. Raises 23505 when the public id is taken, 23514 when a value breaks a limit.';

create function list_sites(p_after timestamptz, p_after_id uuid, p_limit integer) returns table (site jsonb, cursor text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select site_row(s.id), to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' ' || s.id from sites s
   where p_after_id is null or (s.created_at, s.id) > (p_after, p_after_id)
   order by s.created_at, s.id limit least(greatest(p_limit, 1), 200) + 1
$$;
comment on function list_sites(timestamptz, uuid, integer) is 'Sites in order of creation after the given one; one row more than p_limit (1 to 200) says that there are more. cursor is what the next call starts after.';

create function create_api_key(p_ref text, p_hash text, p_prefix text, p_rotate boolean, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site    uuid := require_site(p_ref);
  live    integer;
  revoked uuid[] := '{}';
  key_id  uuid;
begin
  perform lock_site(site);
  select count(*) into live from site_api_keys where site_id = site and revoked_at is null;
  if live >= 2 and p_rotate then
    with oldest as (
      update site_api_keys set revoked_at = clock_timestamp() where id = (
        select id from site_api_keys where site_id = site and revoked_at is null order by created_at, id limit 1) returning id)
    select array_agg(id) into revoked from oldest;
  elsif live >= 2 then
    raise exception 'The site has two live keys already: rotate or revoke one.' using errcode = 'RK004';
  end if;
  insert into site_api_keys (site_id, key_hash, prefix) values (site, decode(p_hash, 'hex'), p_prefix) returning id into key_id;
  perform audit(p_actor, case when p_rotate then 'api_key_rotate' else 'api_key_create' end, 'site_api_key', key_id::text, site,
                jsonb_build_object('prefix', p_prefix, 'revoked', revoked));
  return jsonb_build_object('key_id', key_id, 'prefix', p_prefix, 'revoked', revoked,
    'live_keys', (select count(*) from site_api_keys where site_id = site and revoked_at is null));
end $$;
comment on function create_api_key(text, text, text, boolean, text) is 'Adds a live key by its hash; of two live ones p_rotate revokes the oldest. Audited. Raises RK003, RK004 (two live keys).';

create function revoke_api_key(p_ref text, p_key uuid, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  update site_api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()) where site_id = site and id = p_key;
  if not found then
    raise exception 'The site has no such key.' using errcode = 'RK006';
  end if;
  perform audit(p_actor, 'api_key_revoke', 'site_api_key', p_key::text, site, null);
  return jsonb_build_object('key_id', p_key, 'live_keys',
    (select count(*) from site_api_keys where site_id = site and revoked_at is null));
end $$;
comment on function revoke_api_key(text, uuid, text) is 'Revokes a key of the site; repeatable, audited. It stops working everywhere within 30 s. Raises RK003, RK006.';

create function list_api_keys(p_ref text) returns table (key jsonb)
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('key_id', k.id, 'prefix', k.prefix, 'live', k.revoked_at is null,
    'created_at', to_char(k.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    from site_api_keys k where k.site_id = require_site(p_ref) order by k.created_at desc, k.id limit 100
$$;
comment on function list_api_keys(text) is 'The newest 100 keys of the site, without their hashes. Raises RK003.';

create function site_usage(p_ref text, p_month text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  site  uuid := require_site(p_ref);
  month text := coalesce(p_month, utc_year_month(clock_timestamp()));
begin
  return (select jsonb_build_object('site_id', site, 'public_id', s.public_id, 'year_month', month,
    'ledger', (select jsonb_build_object('billable', count(*) filter (where billable)::text,
        'overage', count(*) filter (where billable and billing_state = 'OVERAGE')::text,
        'rejected', count(*) filter (where billing_state = 'REJECTED_QUOTA')::text, 'rows', count(*)::text)
      from ingest_idempotency l where l.site_id = site and l.year_month = month),
    'usage_row', (select jsonb_build_object('event_count', u.event_count::text, 'overage_count', u.overage_count::text)
      from site_usage_monthly u where u.site_id = site and u.year_month = month),
    'events', jsonb_build_object('delivered', (select count(*)::text from events e where e.site_id = site
      and e.received_at >= month_start(month) and e.received_at < month_start(month) + interval '1 month')),
    'outbox', jsonb_build_object('waiting', (select count(*)::text from ingest_fallback_buffer o where o.site_id = site)),
    'limit', site_row(site) #>> '{plan,monthly_limit}')
    from sites s where s.id = site);
end $$;
comment on function site_usage(text, text) is 'Usage of a month from ledger, usage row, delivered events and outbox, in one snapshot; counts as decimal strings. p_month null = the current UTC month. Raises RK003.';

create function kernel_health() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('now', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                            'writable', not pg_is_in_recovery())
$$;
comment on function kernel_health() is 'Answers when the ledger can be reached, and whether it takes writes.';

grant execute on function site_for_ingest(text, text) to kernel_ingest;

grant execute on function kernel_health() to kernel_ingest, kernel_api;

grant execute on function set_site_plan(text, jsonb, text), create_site(jsonb, text), list_sites(timestamptz, uuid, integer), find_site(text),
  create_api_key(text, text, text, boolean, text), revoke_api_key(text, uuid, text), list_api_keys(text), site_usage(text, text), site_row(uuid) to kernel_api;
