-- Payments, first part: which provider carries a payment method, the role of the webhook's door, and what deposits, findings and
-- runs must tell now that providers speak for themselves.

do $$
begin
  create role kernel_webhook login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
exception when duplicate_object or unique_violation then null; -- roles belong to the cluster, databases share them
end $$;

grant usage on schema public to kernel_webhook;

create or replace function set_role_verifier(p_role name, p_verifier text) returns name
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  if p_verifier !~ '^SCRAM-SHA-256\$' then
    raise exception 'A role takes a SCRAM verifier, never a password.' using errcode = 'RK005';
  end if;
  if p_role not in ('kernel_ingest', 'kernel_deliver', 'kernel_jobs', 'kernel_api', 'kernel_money', 'kernel_webhook') then
    raise exception 'The role % is not one of the kernel''s login roles.', p_role using errcode = 'RK005';
  end if;
  execute format('alter role %I password %L', p_role, p_verifier);
  return p_role;
end $$;

create table payment_providers (
  provider     text primary key check (provider ~ '^[a-z0-9_-]{1,64}$'),
  test_only    boolean not null,
  grace_s      integer not null check (grace_s between 0 and 86400),
  can_list     boolean not null
);
comment on table payment_providers is 'The providers that the kernel speaks with. test_only: moves no real money, and serves only where the flag allow_test_payment_methods is on. grace_s: how long what it says may take to reach the ledger before a difference is one. can_list: its events can be asked for, so it can be reconciled.';

insert into payment_providers (provider, test_only, grace_s, can_list) values ('mockpsp', true, 0, true), ('stripe', false, 300, true), ('paynow', false, 300, false);

create table payment_methods (
  tenant_id  text not null check (tenant_id ~ '^([A-Za-z0-9_.:-]{1,64}|\*)$'),
  method     text not null check (length(method) between 1 and 64),
  provider   text not null references payment_providers,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, method)
);
comment on table payment_methods is 'Which provider carries a method for a tenant; tenant * for those who have no row of their own.';

insert into payment_methods (tenant_id, method, provider)
select '*', m, 'mockpsp' from unnest('{card,bank,crypto,test,test_bank}'::text[]) m;

create function provider_of(p_tenant text, p_method text, p_tests boolean) returns text
language sql stable set search_path = pg_catalog, public as $$
  select m.provider from payment_methods m join payment_providers p on p.provider = m.provider
   where m.method = p_method and m.tenant_id in (p_tenant, '*') and (p_tests or not p.test_only)
   order by m.tenant_id = '*' limit 1
$$;
comment on function provider_of(text, text, boolean) is 'The provider of a method for a tenant; null when none may serve it. p_tests: whether test methods are allowed.';

create function set_payment_method(p_tenant text, p_method text, p_provider text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  insert into payment_methods as m (tenant_id, method, provider) values (p_tenant, p_method, p_provider)
  on conflict (tenant_id, method) do update set provider = excluded.provider, updated_at = clock_timestamp();
  perform audit(p_actor, 'payment_method', 'tenant', p_tenant, null, jsonb_build_object('method', p_method, 'provider', p_provider));
  return jsonb_build_object('outcome', 'done', 'tenant_id', p_tenant, 'method', p_method, 'provider', p_provider);
end $$;
comment on function set_payment_method(text, text, text, text) is 'Says which provider carries a method, for a tenant or for all (*). Payments that have begun stay with theirs. Audited as payment_method. Raises 23503 (no such provider), 23514.';

create function list_payment_methods(p_tenant text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('outcome', 'done', 'methods', coalesce(jsonb_agg(x.item order by x.method), '[]')) from (
    select distinct on (m.method) m.method, jsonb_build_object('method', m.method, 'provider', m.provider, 'of_tenant', m.tenant_id <> '*') item
      from payment_methods m where m.tenant_id in (p_tenant, '*') order by m.method, m.tenant_id = '*') x
$$;
comment on function list_payment_methods(text) is 'Each method with the provider that carries it for a tenant.';

create function list_products(p_tenant text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('outcome', 'done', 'products', coalesce(jsonb_agg(to_jsonb(p) || jsonb_build_object('points', p.points::text, 'updated_at', utc_text(p.updated_at))
    order by p.provider, p.product_id), '[]')) from products p where p.tenant_id = p_tenant
$$;
comment on function list_products(text) is 'What each product of the tenant''s shops credits.';

alter table deposits add column refunded bigint not null default 0, add column charged_back bigint not null default 0, add column authorized_at timestamptz;

create or replace function deposits_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was w join made m on m.id = w.id where w.state = 'completed' and m.state <> 'completed' or w.state = 'failed' and m.state not in ('failed', 'completed')) then
    raise exception 'A completed or failed deposit is final.' using errcode = 'RK042';
  end if;
  return null;
end $$;
comment on function deposits_guard() is 'Statement trigger: a completed deposit stays so, and a failed one can only turn out to have been captured after all. Raises RK042.';

create or replace trigger deposits_end_once after update on deposits referencing old table as was new table as made for each statement execute function deposits_guard();

create or replace function deposit_row(d deposits) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', d.id, 'tx_id', d.id, 'type', 'deposit', 'tenant_id', d.tenant_id, 'player_id', d.player_id, 'amount_minor', d.amount::text, 'currency', d.currency,
    'method', d.method, 'state', d.state, 'status', d.status, 'provider', d.provider, 'provider_ref', d.provider_ref, 'provider_event_id', d.provider_event_id,
    'error_code', d.error_code, 'flags', d.flags, 'balance_after', d.balance_after::text, 'refunded_minor', d.refunded::text, 'charged_back_minor', d.charged_back::text,
    'created_at', utc_text(d.created_at), 'updated_at', utc_text(d.updated_at))
$$;

create or replace function deposit_refusal(p_player players, p_body jsonb, p_flags jsonb) returns text
language sql stable set search_path = pg_catalog, public as $$
  with asked as (
    select c.code currency, 10::numeric ^ c.exponent as unit, minor_units(p_body -> 'amount_minor') + spent_today(p_player.id, c.code, 'deposit') total,
           coalesce((p_flags ->> 'allow_test_payment_methods')::boolean, false) tests, p.*
      from (select money_policy(p_player.tenant_id) p) m cross join lateral (select (m.p).*) p
      left join currencies c on c.code = p_body ->> 'currency'
  )
  select case when a.currency is null then 'CURRENCY_UNKNOWN'
              when not (p_player.email_verified and p_player.sms_verified) then 'AUTH_UNVERIFIED'
              when a.total > a.daily_deposit_units * a.unit then 'LIMIT_EXCEEDED'
              when (p_body ->> 'method' = 'card' or p_body ->> 'method' in ('test', 'test_bank') and a.tests) is not true
                   or provider_of(p_player.tenant_id, p_body ->> 'method', a.tests) is null then 'PAYMENT_METHOD_NOT_ALLOWED'
              when p_player.kyc_status <> 'approved' and a.total > a.unverified_daily_deposit_units * a.unit then 'KYC_DEPOSIT_LIMIT' end
    from asked a
$$;

create or replace function begin_deposit(p_player uuid, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set lock_timeout = '3s' as $$
declare
  player players;
  call   record;
  flags  jsonb;
  code   text;
  made   deposits;
  answer jsonb;
begin
  select * into player from players p where p.id = p_player for no key update;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  call := begin_call(player.tenant_id, 'player:' || p_player, p_key, 'deposit', p_body);
  if call.answer is not null then return known_call(call.answer, call.id, p_player::text); end if;
  flags := money_flags(player.tenant_id, player.id);
  code := deposit_refusal(player, p_body, flags);
  if code is null then
    insert into deposits (id, tenant_id, player_id, currency, amount, method, state, idempotency_key, provider, metadata, flags)
    values (call.id, player.tenant_id, player.id, p_body ->> 'currency', minor_units(p_body -> 'amount_minor'), p_body ->> 'method', 'pending_provider', p_key,
            provider_of(player.tenant_id, p_body ->> 'method', (flags ->> 'allow_test_payment_methods')::boolean),
            jsonb_build_object('request_hash', encode(call.hash, 'hex')), flags) returning * into made;
    answer := jsonb_build_object('outcome', 'done', 'tx_id', made.id, 'transaction', deposit_row(made));
  else
    answer := declined(code);
    if code = 'LIMIT_EXCEEDED' then
      perform audit(p_player::text, 'FIN_TENANT_LIMIT_BLOCKED', 'player', p_player::text, null, p_body || shown_balance(player.tenant_id, p_player, p_body ->> 'currency'));
    end if;
  end if;
  return end_call(player.tenant_id, 'player:' || p_player, p_key, 'deposit', call.id, call.hash, answer);
end $$;

alter table reconciliation_findings
  add column account varchar(128) not null default '',
  add column owner text,
  add column run_id uuid,
  add column resolution text,
  add column accepted boolean not null default false,
  add column resolved_by text,
  add column resolved_at timestamptz,
  add column seen_at timestamptz not null default clock_timestamp();
comment on column reconciliation_findings.accepted is 'Resolved as known: a later run that sees the same difference does not open it again.';

create or replace function record_finding(p_provider text, p_tenant text, p_player uuid, p_tx uuid, p_raw jsonb, p_type text, p_severity text, p_message text) returns uuid
language sql volatile set search_path = pg_catalog, public as $$
  insert into reconciliation_findings as f (provider, tenant_id, player_id, tx_id, provider_event_id, provider_ref, finding_type, severity, message, raw, run_id)
  values (p_provider, p_tenant, p_player, p_tx, left(coalesce(p_raw ->> 'provider_event_id', 'tx:' || p_tx), 128), left(p_raw ->> 'provider_ref', 128), p_type, p_severity, p_message, p_raw, (p_raw ->> 'run_id')::uuid)
  on conflict (provider, provider_event_id, finding_type) do update set updated_at = clock_timestamp(), seen_at = clock_timestamp(),
    status = case when f.accepted and f.raw - 'run_id' = excluded.raw - 'run_id' then f.status else 'OPEN' end, raw = excluded.raw, message = excluded.message, run_id = excluded.run_id,
    accepted = f.accepted and f.raw - 'run_id' = excluded.raw - 'run_id',
    reopened_count = f.reopened_count + case when f.status = 'RESOLVED' and not (f.accepted and f.raw - 'run_id' = excluded.raw - 'run_id') then 1 else 0 end
  returning f.id
$$;
comment on function record_finding(text, text, uuid, uuid, jsonb, text, text, text) is
  'Writes a finding down, once by (provider, p_raw.provider_event_id, type); a resolved one that is seen again is opened again, unless it was accepted and says the same.';

alter table reconciliation_runs drop constraint reconciliation_runs_status_check;

alter table reconciliation_runs add constraint reconciliation_runs_status_check check (status in ('queued', 'running', 'completed', 'incomplete', 'failed')) not valid;

alter table reconciliation_runs validate constraint reconciliation_runs_status_check;

create or replace function reconciliation_runs_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was where status in ('completed', 'incomplete', 'failed')) then
    raise exception 'A run that has ended does not change.' using errcode = 'RK051';
  end if;
  return null;
end $$;

select secure_table('payment_providers', false), secure_table('payment_methods', false);

grant execute on function set_payment_method(text, text, text, text), list_payment_methods(text), list_products(text) to kernel_money;

grant execute on function set_product(text, text, text, bigint, text, text) to kernel_money;
