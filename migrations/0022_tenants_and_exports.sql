-- What tests through the doors found: builders that die for ever, links to what has expired, an erasure that a delivery outran,
-- and a quota that showed nothing left where nothing is limited.

create or replace function claim_dispute_export(p_id bigint, p_lease_s integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  e dispute_exports;
begin
  update dispute_exports x set status = 'DEAD', last_error = 'Its builders did not come back.', lease_until = null, updated_at = clock_timestamp()
   where x.id = p_id and x.status = 'BUILDING' and x.lease_until < clock_timestamp() and x.attempt_count >= 3;
  update dispute_exports x
     set status = 'BUILDING', attempt_count = x.attempt_count + 1, rows_done = 0, lease_until = clock_timestamp() + make_interval(secs => p_lease_s), updated_at = clock_timestamp()
   where x.id = p_id and (x.status in ('QUEUED', 'FAILED') or (x.status = 'BUILDING' and x.lease_until < clock_timestamp()))
  returning * into e;
  if not found then return null; end if;
  return export_row(e) || jsonb_build_object('archive_key', month_state(e.site_id, e.year_month) ->> 'archive_key');
end $$;
comment on function claim_dispute_export(bigint, integer) is
  'Takes an export to build it, also from a holder whose lease has passed; after 3 such holders it is DEAD, as after 3 failures. Null when there is nothing to do.';

create or replace function read_dispute_export(p_site uuid, p_month text, p_id bigint) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  e dispute_exports;
begin
  select * into e from dispute_exports x
   where x.id = p_id and x.site_id = p_site and x.year_month = p_month
     and not (x.status = 'READY' and x.updated_at < clock_timestamp() - interval '6 days'); -- its object goes after seven
  if not found then raise exception 'The site has no such export.' using errcode = 'RK017'; end if;
  return export_row(e);
end $$;
comment on function read_dispute_export(uuid, text, bigint) is 'One export of the site''s month, while its object is there. Raises RK017.';

create or replace function erase_site_payloads(p_site uuid, p_selector jsonb, p_limit integer, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  only_id  bigint := ingest_uuid_id((p_selector ->> 'ingest_id')::uuid);
  most     integer := least(greatest(p_limit, 1), 10000);
  erased   bigint;
  waiting  bigint;
begin
  -- The outbox first: a row that a delivery moves meanwhile is waited for here, and found among the events below.
  update ingest_fallback_buffer o set payload = '{"erased": true}', client_ip = null, user_agent = null, request_id = null
   where o.site_id = p_site and o.payload <> '{"erased": true}' and (only_id is null or o.id = only_id)
     and (p_selector ->> 'sid' is null or o.payload ->> 'sid' = p_selector ->> 'sid')
     and (p_selector ->> 'fp' is null or o.payload #>> '{meta,fp}' = p_selector ->> 'fp');
  get diagnostics waiting = row_count;
  update events e set payload = '{"erased": true}', client_ip = null, user_agent = null, request_id = null
   where e.id = any (array(
     select x.id from events x
      where x.site_id = p_site and x.payload <> '{"erased": true}' and (only_id is null or x.id = only_id)
        and (p_selector ->> 'sid' is null or x.payload ->> 'sid' = p_selector ->> 'sid')
        and (p_selector ->> 'fp' is null or x.payload #>> '{meta,fp}' = p_selector ->> 'fp')
      order by x.id limit most));
  get diagnostics erased = row_count;
  perform audit(p_actor, 'payload_erase', 'events', encode(sha256(convert_to(p_selector::text, 'UTF8')), 'hex'), p_site,
                jsonb_build_object('erased', (erased + waiting)::text));
  return jsonb_build_object('erased', (erased + waiting)::text, 'done', erased < most);
end $$;

create or replace function site_plan(p_site uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('plan_tier', coalesce(p.plan_tier, 'default'), 'monthly_limit', coalesce(p.monthly_limit, d.monthly_limit)::text,
    'soft_limit_enabled', coalesce(p.soft_limit_enabled, d.soft_limit_enabled),
    'hard_cap_multiplier', trim_scale(coalesce(p.hard_cap_multiplier, d.hard_cap_multiplier))::text,
    'billing_policy', coalesce(p.billing_policy, 'all'), 'billing_enforcement', s.billing_enforcement,
    'unblock', case when p.unblock_until > clock_timestamp()
                    then jsonb_build_object('monthly_limit', greatest(p.monthly_limit, p.unblock_limit)::text, 'until', utc_text(p.unblock_until)) end)
    from sites s cross join default_plan() d left join site_plans p on p.site_id = s.id where s.id = p_site
$$;

create or replace function site_quota(p_site uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('site_id', p_site, 'year_month', m.month, 'used', q.used::text, 'limit', q.quota::text, 'cap', q.cap::text,
    'remaining', greatest(q.quota - q.used, 0)::text, 'remaining_to_cap', case when q.cap is not null then greatest(q.cap - q.used, 0)::text end,
    'state', case when q.used < q.quota then 'within' when q.cap is null or q.used < q.cap then 'overage' else 'exhausted' end,
    'enforced', q.enforced, 'resets_at', utc_text(month_start(m.month) + interval '1 month'), 'as_of', utc_text(clock_timestamp()))
    from (select utc_year_month(clock_timestamp()) as month) m,
         lateral (select coalesce(u.event_count, 0) used, p.quota, case when s.billing_enforcement then case when p.soft then floor(p.quota * p.multiplier)::bigint else p.quota end end cap,
                         s.billing_enforcement enforced
                    from sites s cross join plan_in_force(s.id, clock_timestamp()) p
                    left join site_usage_monthly u on u.site_id = s.id and u.year_month = m.month where s.id = p_site) q
$$;
comment on function site_quota(uuid) is
  'What the quota decision would read now: used, limit, the hard cap and what remains to it (both null when quotas are not enforced), and whether the site is within, in overage or exhausted.';

create or replace function site_usage(p_ref text, p_month text) returns jsonb
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
    'limit', (select p.quota::text from plan_in_force(site, clock_timestamp()) p)) -- an unblock that runs included, as the decision reads it
    from sites s where s.id = site);
end $$;

create or replace function unblock_plan(p_ref text, p_limit bigint, p_until timestamptz, p_reason text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  if p_until is not null and (p_until <= clock_timestamp() or p_until > clock_timestamp() + interval '31 days') then
    raise exception 'An unblock ends in the future and within 31 days.' using errcode = 'RK015';
  end if;
  if p_until is not null then
    insert into site_plans (site_id, plan_tier, monthly_limit, soft_limit_enabled, hard_cap_multiplier)
    select site, 'default', d.monthly_limit, d.soft_limit_enabled, d.hard_cap_multiplier from default_plan() d on conflict (site_id) do nothing;
  end if;
  update site_plans set unblock_limit = case when p_until is not null then p_limit end, unblock_until = p_until where site_id = site;
  perform audit(p_actor, case when p_until is null then 'plan_unblock_end' else 'plan_unblock' end, 'plan', site::text, site,
                jsonb_build_object('limit', case when p_until is not null then p_limit::text end, 'until', utc_text(p_until), 'reason', p_reason));
  return site_plan(site);
end $$;
