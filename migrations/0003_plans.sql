-- What a site may use in a month, and what it costs beyond.

create table site_plans (
  site_id              uuid primary key references sites on delete restrict,
  plan_tier            text not null default 'free' check (length(plan_tier) between 1 and 64),
  monthly_limit        bigint not null check (monthly_limit between 0 and 1000000000000),
  soft_limit_enabled   boolean not null default false,
  hard_cap_multiplier  numeric(8, 3) not null default 2 check (hard_cap_multiplier between 1 and 1000),
  billing_policy       text not null default 'all' check (billing_policy in ('all', 'by_kind')),
  overage_price_per_1k numeric(20, 6) check (overage_price_per_1k >= 0),
  created_at           timestamptz not null default clock_timestamp(),
  updated_at           timestamptz not null default clock_timestamp()
);
comment on table site_plans is 'A hard plan admits exactly monthly_limit billable events a UTC month; a soft one up to floor(monthly_limit x hard_cap_multiplier) as OVERAGE. A site without a row has the default plan of default_plan(). billing_policy all: every event is billable; by_kind: see billing_reason_of().';

create function set_updated_at() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;
comment on function set_updated_at() is 'Row trigger that keeps updated_at.';

create trigger set_updated_at before update on site_plans for each row execute function set_updated_at();

create function default_plan(out monthly_limit bigint, out soft_limit_enabled boolean, out hard_cap_multiplier numeric)
language sql immutable parallel safe set search_path = pg_catalog, public as $$ select 1000::bigint, false, 2::numeric $$;
comment on function default_plan() is 'The plan of a site that has no row in site_plans: 1000 events a month, hard.';
