-- Feature flags: what is switched on for whom, read by the functions that decide about money inside their own statement.

create table feature_flags (
  flag            text primary key check (flag ~ '^[a-z][a-z0-9_]{2,63}$'),
  value           boolean not null,
  rollout_percent smallint check (rollout_percent between 0 and 100),
  description     text not null,
  stage           text,
  changed_at      timestamptz
);
comment on table feature_flags is 'Switches. value off: off for all who have no override. value on: on for all, or for rollout_percent of the subjects. stage: the stage whose default was applied, once; changed_at: when a person first changed it, after which no default touches it.';

create table feature_flag_overrides (
  flag      text not null references feature_flags,
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  value     boolean not null,
  primary key (flag, tenant_id)
);
comment on table feature_flag_overrides is 'What a flag is for one tenant, before percentage and default.';

insert into feature_flags (flag, value, description) values
  ('ledger_shadow_write',         true,  'Money of players with a legacy balance is written to the ledger as well.'),
  ('ledger_enforce_balance',      false, 'The ledger alone decides about the funds of a withdrawal; a wallet that is missing has none.'),
  ('ledger_balance_mismatch_log', true,  'A withdrawal whose legacy balance differs from the ledger leaves a finding.'),
  ('webhook_signature_enforced',  false, 'A webhook of a payment provider needs a valid signature.'),
  ('allow_test_payment_methods',  false, 'The methods test and test_bank, and outcomes asked of the mock provider, are allowed.'),
  ('reconciliation_enabled',      true,  'Wallets are reconciled with their entries.'),
  ('backfill_enabled',            true,  'Backfills of money may run.'),
  ('allow_negative_balance',      true,  'A reversal or chargeback may take a balance below zero.');

create function flag_bucket(p_flag text, p_subject text) returns integer
language sql immutable parallel safe
return (('x' || encode(substr(sha256(convert_to(p_flag || '|' || p_subject, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint % 100)::integer;
comment on function flag_bucket(text, text) is 'Where a subject stands in the rollout of a flag, 0 to 99: always the same, and another place for another flag.';

create function flag_on(p_flag text, p_tenant text, p_subject text default null) returns boolean
language sql stable security definer set search_path = pg_catalog, public as $$
  select coalesce(
    (select o.value from feature_flag_overrides o where o.flag = p_flag and o.tenant_id = p_tenant),
    (select f.value and (f.rollout_percent is null or flag_bucket(p_flag, coalesce(p_subject, p_tenant)) < f.rollout_percent)
       from feature_flags f where f.flag = p_flag),
    false)
$$;
comment on function flag_on(text, text, text) is 'Whether a flag is on for a subject of a tenant: the tenant''s override, then the percentage by a stable hash, then the default. A flag that does not exist is off.';

create function flag_row(p_flag text) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('flag', f.flag, 'value', f.value, 'rollout_percent', f.rollout_percent, 'description', f.description,
    'overrides', (select coalesce(jsonb_object_agg(o.tenant_id, o.value), '{}') from feature_flag_overrides o where o.flag = f.flag),
    'history', (select coalesce(jsonb_agg(h.entry), '[]') from (
        select jsonb_build_object('at', utc_text(a.created_at), 'actor', a.actor_id) || a.payload entry from audit_log a
         where a.action = 'feature_flag' and a.resource_id = f.flag order by a.id desc limit 20) h))
    from feature_flags f where f.flag = p_flag
$$;
comment on function flag_row(text) is 'A flag as answers show it: value, percentage, overrides and its last twenty changes, newest first; null when there is none.';

create index audit_log_of_flags on audit_log (resource_id, id) where action = 'feature_flag';

create function set_flag(p_flag text, p_value boolean, p_tenant text, p_percent integer, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  old   feature_flags;
  known boolean;
begin
  select * into old from feature_flags f where f.flag = p_flag for update;
  if old.flag is null then
    raise exception 'There is no such flag.' using errcode = 'RK040';
  elsif p_tenant is not null and p_percent is not null or p_tenant is null and p_value is null then
    raise exception 'A flag is set for all, for a percentage, or for one tenant.' using errcode = 'RK041';
  end if;
  if p_tenant is null then
    update feature_flags f set value = p_value, rollout_percent = p_percent, changed_at = clock_timestamp() where f.flag = p_flag;
    perform audit(p_actor, 'feature_flag', 'feature_flag', p_flag, null,
      jsonb_build_object('from', old.value, 'from_percent', old.rollout_percent, 'to', p_value, 'to_percent', p_percent));
    return flag_row(p_flag);
  end if;
  select o.value into known from feature_flag_overrides o where o.flag = p_flag and o.tenant_id = p_tenant;
  if p_value is null then
    delete from feature_flag_overrides o where o.flag = p_flag and o.tenant_id = p_tenant;
  else
    insert into feature_flag_overrides (flag, tenant_id, value) values (p_flag, p_tenant, p_value)
    on conflict (flag, tenant_id) do update set value = excluded.value;
  end if;
  perform audit(p_actor, 'feature_flag', 'feature_flag', p_flag, null, jsonb_build_object('tenant_id', p_tenant, 'from', known, 'to', p_value));
  return flag_row(p_flag);
end $$;
comment on function set_flag(text, boolean, text, integer, text) is
  'Switches a flag: for all, for a percentage of the subjects, or for one tenant, whose override a null value removes. Audited as feature_flag. Raises RK040 (no such flag), RK041 (tenant and percentage, or neither value nor tenant).';

create function list_flags(p_flag text default null) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select flag_row(f.flag) from feature_flags f where p_flag is null or f.flag = p_flag order by f.flag
$$;
comment on function list_flags(text) is 'Every flag, or one, with its overrides and its last changes.';

create function apply_stage_defaults(p_stage text) returns integer
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  applied integer;
begin
  with due as (
    update feature_flags f set stage = p_stage, value = case when f.flag = 'allow_test_payment_methods' then p_stage = 'dev' else f.value end
     where f.stage is null and f.changed_at is null
    returning f.flag, f.value
  ), noted as (
    select audit('service_role', 'feature_flag', 'feature_flag', d.flag, null, jsonb_build_object('stage', p_stage, 'to', d.value)) from due d
  )
  select count(*) into applied from noted;
  return applied;
end $$;
comment on function apply_stage_defaults(text) is 'Gives flags the defaults of the stage: each once, and never one that somebody changed. Migrator only; returns how many.';

select secure_table('feature_flags', false), secure_table('feature_flag_overrides', false);

grant execute on function flag_on(text, text, text) to kernel_api, kernel_money, kernel_jobs;

grant execute on function set_flag(text, boolean, text, integer, text), list_flags(text) to kernel_api;
