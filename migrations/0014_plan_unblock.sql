-- The quota unblock of an incident: a higher, soft limit that ends by itself, and enforcement of quotas per site.

alter table site_plans
  add column unblock_limit bigint check (unblock_limit between 0 and 1000000000000),
  add column unblock_until timestamptz,
  add constraint site_plans_unblock check ((unblock_limit is null) = (unblock_until is null));

comment on column site_plans.unblock_until is 'Until then the plan is soft and its limit is the greater of monthly_limit and unblock_limit; afterwards it is what it was, without anybody doing anything.';

create function site_plan(p_site uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('plan_tier', coalesce(p.plan_tier, 'default'), 'monthly_limit', coalesce(p.monthly_limit, d.monthly_limit)::text,
    'soft_limit_enabled', coalesce(p.soft_limit_enabled, d.soft_limit_enabled), 'hard_cap_multiplier', coalesce(p.hard_cap_multiplier, d.hard_cap_multiplier)::text,
    'billing_policy', coalesce(p.billing_policy, 'all'), 'billing_enforcement', s.billing_enforcement,
    'unblock', case when p.unblock_until > clock_timestamp()
                    then jsonb_build_object('monthly_limit', greatest(p.monthly_limit, p.unblock_limit)::text, 'until', utc_text(p.unblock_until)) end)
    from sites s cross join default_plan() d left join site_plans p on p.site_id = s.id where s.id = p_site
$$;
comment on function site_plan(uuid) is 'A site''s plan, with the unblock while one runs.';

create function plan_in_force(p_site uuid, p_at timestamptz, out quota bigint, out soft boolean, out multiplier numeric, out policy text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select case when p.unblock_until > p_at then greatest(p.monthly_limit, p.unblock_limit) else coalesce(p.monthly_limit, d.monthly_limit) end,
         coalesce(p.unblock_until > p_at, false) or coalesce(p.soft_limit_enabled, d.soft_limit_enabled),
         coalesce(p.hard_cap_multiplier, d.hard_cap_multiplier), coalesce(p.billing_policy, 'all')
    from default_plan() d left join site_plans p on p.site_id = p_site
$$;
comment on function plan_in_force(uuid, timestamptz) is 'The plan that decides at an instant: the default one without a row, the unblock while it runs.';

create function site_quota(p_site uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('site_id', p_site, 'year_month', m.month, 'used', q.used::text, 'limit', q.quota::text, 'cap', q.cap::text,
    'remaining', greatest(q.quota - q.used, 0)::text, 'remaining_to_cap', greatest(q.cap - q.used, 0)::text,
    'state', case when q.used < q.quota then 'within' when q.cap is null or q.used < q.cap then 'overage' else 'exhausted' end,
    'enforced', q.enforced, 'resets_at', utc_text(month_start(m.month) + interval '1 month'), 'as_of', utc_text(clock_timestamp()))
    from (select utc_year_month(clock_timestamp()) as month) m,
         lateral (select coalesce(u.event_count, 0) used, p.quota, case when s.billing_enforcement then case when p.soft then floor(p.quota * p.multiplier)::bigint else p.quota end end cap,
                         s.billing_enforcement enforced
                    from sites s cross join plan_in_force(s.id, clock_timestamp()) p
                    left join site_usage_monthly u on u.site_id = s.id and u.year_month = m.month where s.id = p_site) q
$$;
comment on function site_quota(uuid) is 'What the quota decision would read now: used, limit, the hard cap (null when quotas are not enforced), and whether the site is within, in overage or exhausted.';

create function unblock_plan(p_ref text, p_limit bigint, p_until timestamptz, p_reason text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  if p_until is not null and (p_until <= clock_timestamp() or p_until > clock_timestamp() + interval '31 days') then
    raise exception 'An unblock ends in the future and within 31 days.' using errcode = 'RK015';
  end if;
  insert into site_plans (site_id, plan_tier, monthly_limit, soft_limit_enabled, hard_cap_multiplier)
  select site, 'default', d.monthly_limit, d.soft_limit_enabled, d.hard_cap_multiplier from default_plan() d on conflict (site_id) do nothing;
  update site_plans set unblock_limit = case when p_until is not null then p_limit end, unblock_until = p_until where site_id = site;
  perform audit(p_actor, case when p_until is null then 'plan_unblock_end' else 'plan_unblock' end, 'plan', site::text, site,
                jsonb_build_object('limit', p_limit::text, 'until', utc_text(p_until), 'reason', p_reason));
  return site_plan(site);
end $$;
comment on function unblock_plan(text, bigint, timestamptz, text, text) is
  'Raises the site''s limit to p_limit and makes it soft until p_until, at most 31 days; a null p_until ends a running unblock. Reverts by itself. Audited as plan_unblock. Raises RK003, RK015.';

create function set_enforcement(p_ref text, p_enforced boolean, p_reason text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  update sites set billing_enforcement = p_enforced where id = site;
  perform audit(p_actor, 'billing_enforcement', 'site', site::text, site, jsonb_build_object('enforced', p_enforced, 'reason', p_reason));
  return site_plan(site);
end $$;
comment on function set_enforcement(text, boolean, text, text) is
  'Switches quotas of one site on or off; off, nothing is refused and what exceeds the plan is recorded as OVERAGE. Audited as billing_enforcement. Raises RK003.';

-- As in 0006; the plan's unblock is read with it, and a month is closed from its barrier on.
create or replace function ingest(
  p_site       uuid,
  p_batch      uuid,
  p_events     jsonb,
  p_request_id text default null,
  p_client_ip  text default null,
  p_user_agent text default null,
  out used          bigint,
  out quota         bigint,
  out remaining     bigint,
  out month         text,
  out as_of         bigint,
  out admitted      bigint,
  out retry_after_s bigint,
  out results       jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan -- planning anew doubles the cost of a single event
set lock_timeout = '3s' as $$
declare
  now_at     timestamptz;
  cap        bigint;
  soft       boolean;
  multiplier numeric;
  policy     text;
  enforced   boolean;
  frozen     boolean;
  billed     bigint;
  overage    bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'ingest needs the isolation level read committed.' using errcode = 'RK001';
  end if;
  if jsonb_typeof(p_events) is distinct from 'array' or jsonb_array_length(p_events) not between 1 and 500 then
    raise exception 'ingest takes 1 to 500 events.' using errcode = 'RK002';
  end if;

  perform lock_site(p_site); -- from here on each statement has a new snapshot, which sees every earlier holder's rows
  now_at := clock_timestamp(); -- after the lock, so that order of quota, commit and time agree
  loop
    month := utc_year_month(now_at);
    select case when p.unblock_until > now_at then greatest(p.monthly_limit, p.unblock_limit) else p.monthly_limit end,
           p.soft_limit_enabled or coalesce(p.unblock_until > now_at, false), p.hard_cap_multiplier, coalesce(p.billing_policy, 'all'),
           s.billing_enforcement, u.event_count,
           exists (select from invoice_barriers b where b.site_id = p_site and b.year_month = month)
             or exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = month)
      into quota, soft, multiplier, policy, enforced, used, frozen
      from sites s
      left join site_plans p on p.site_id = s.id
      left join site_usage_monthly u on u.site_id = s.id and u.year_month = month
     where s.id = p_site and s.status = 'active';
    if not found then
      raise exception 'The site is unknown or closed.' using errcode = 'RK003';
    end if;
    exit when not frozen;
    now_at := month_start(month) + interval '1 month'; -- the clock went back over a freeze: the event belongs to the next month
  end loop;
  if quota is null then
    select d.monthly_limit, d.soft_limit_enabled, d.hard_cap_multiplier into quota, soft, multiplier from default_plan() d;
  end if;
  cap := case when soft then floor(quota * multiplier) else quota end;
  if not enforced then cap := 9223372036854775807; end if; -- recorded as OVERAGE, never refused
  if used is null then
    insert into site_usage_monthly (site_id, year_month) values (p_site, month);
    used := 0;
  end if;

  if jsonb_array_length(p_events) = 1 then
    select s.admitted, s.billed, s.overage, s.as_of, s.results into admitted, billed, overage, as_of, results
      from ingest_single(p_site, p_batch, p_events -> 0, p_request_id, p_client_ip, p_user_agent, now_at, month, quota, cap, policy, used) s;
  else
    select b.admitted, b.billed, b.overage, b.as_of, b.results into admitted, billed, overage, as_of, results
      from ingest_batch(p_site, p_batch, p_events, p_request_id, p_client_ip, p_user_agent, now_at, month, quota, cap, policy, used) b;
  end if;
  if billed > 0 then
    update site_usage_monthly u set event_count = u.event_count + billed, overage_count = u.overage_count + overage
     where u.site_id = p_site and u.year_month = month;
    used := used + billed;
  end if;
  remaining := greatest(0, quota - used);
  retry_after_s := ceil(extract(epoch from month_start(month) + interval '1 month' - now_at));
end $$;

grant execute on function site_plan(uuid), site_quota(uuid), unblock_plan(text, bigint, timestamptz, text, text), set_enforcement(text, boolean, text, text) to kernel_api;
