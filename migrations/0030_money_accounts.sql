-- Money, first part: currencies, accounts with their stored balance, and the keys that let each call have one effect.
-- Every id is derived from names, so a repeated call finds what the first one made. An amount is a bigint in minor units.

do $$
begin
  create role kernel_money login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
exception when duplicate_object or unique_violation then null; -- roles belong to the cluster, databases share them
end $$;

grant usage on schema public to kernel_money;

-- kernel_money reads for signed-in users through the policies of authenticated.
grant authenticated to kernel_money;

create or replace function set_role_verifier(p_role name, p_verifier text) returns name
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  if p_verifier !~ '^SCRAM-SHA-256\$' then
    raise exception 'A role takes a SCRAM verifier, never a password.' using errcode = 'RK005';
  end if;
  if p_role not in ('kernel_ingest', 'kernel_deliver', 'kernel_jobs', 'kernel_api', 'kernel_money') then
    raise exception 'The role % is not one of the kernel''s login roles.', p_role using errcode = 'RK005';
  end if;
  execute format('alter role %I password %L', p_role, p_verifier);
  return p_role;
end $$;

create table currencies (
  code     text primary key check (code ~ '^[A-Z][A-Z0-9_]{1,11}$'),
  exponent smallint not null check (exponent between 0 and 18)
);
comment on table currencies is 'What amounts are counted in; exponent: how many decimals of the unit a minor unit is. Points are a currency too.';

insert into currencies (code, exponent) values
  ('USD', 2), ('EUR', 2), ('GBP', 2), ('TRY', 2), ('CHF', 2), ('CAD', 2), ('AUD', 2), ('JPY', 0), ('KWD', 3), ('POINTS', 0);

create trigger currencies_append_only before update or delete or truncate on currencies for each statement execute function append_only();

-- A balance is numeric, for a clearing account sums what many owners hold; that of a constrained account fits a bigint.
-- On accounts, transfers, entries and keys no CHECK: each statement would prepare each of them anew, a third of a transfer's time.
create table accounts (
  id          uuid primary key,
  updated_at  timestamptz not null default clock_timestamp(),
  version     bigint not null default 0,
  folded_no   bigint not null default 0,
  floor       bigint,
  owner_id    uuid,
  created_at  timestamptz not null default clock_timestamp(),
  constrained boolean not null,
  tenant_id   text not null,
  currency    text not null references currencies,
  kind        text not null,
  name        text not null default '',
  balance     numeric not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create index accounts_by_owner on accounts (owner_id) where owner_id is not null;
create index accounts_to_fold on accounts (id) where not constrained;
comment on table accounts is 'One balance each: available, held and promo of an owner, the other kinds of the tenant. constrained: locked by every movement, balance and version always current, never debited below floor (null: no floor). Not constrained: never locked or updated by a movement; balance holds the entries up to transfer folded_no, and a job folds the rest.';

create function accounts_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if (new.tenant_id ~ '^[A-Za-z0-9_.:-]{1,64}$' and new.name ~ '^[A-Za-z0-9_.:-]{0,64}$' and new.balance = 0 and new.version = 0
      and new.kind in ('available', 'held', 'promo', 'clearing', 'revenue', 'adjustments', 'promotion')
      and (new.owner_id is not null) = (new.kind in ('available', 'held', 'promo'))
      and (new.constrained or new.floor is null and new.owner_id is null)
      and (new.kind not in ('held', 'promo') or new.floor is not distinct from 0)) is not true then
    raise exception 'There is no such kind of account.' using errcode = 'RK030';
  end if;
  return new;
end $$;
comment on function accounts_guard() is 'Row trigger: what an account may be when it is opened: an owner''s is constrained, held and promo never below zero, and every one begins at zero. Raises RK030.';

create trigger accounts_valid before insert on accounts for each row execute function accounts_guard();

-- Only the snapshot of an account changes; a list of columns costs the updates of the snapshot nothing.
create trigger accounts_fixed before update of id, owner_id, tenant_id, currency, kind, name, constrained, floor, created_at on accounts
  for each statement execute function append_only();

create trigger accounts_no_delete before delete or truncate on accounts for each statement execute function append_only();

create function derived_uuid(text) returns uuid
language sql immutable parallel safe
return overlay(overlay(encode(substr(sha256(convert_to($1, 'UTF8')), 1, 16), 'hex') placing '8' from 13) placing '8' from 17)::uuid;
comment on function derived_uuid(text) is 'A UUID (version 8) from the SHA-256 of a text: the same names give the same id, so that a retry names what the first call made.';

create function account_id(p_tenant text, p_owner uuid, p_currency text, p_kind text, p_name text default '') returns uuid
language sql immutable parallel safe
return derived_uuid('account|' || p_tenant || '|' || coalesce(p_owner::text, '') || '|' || p_currency || '|' || p_kind || '|' || p_name);
comment on function account_id(text, uuid, text, text, text) is 'The id of an account, known before it exists.';

create function open_account(p_tenant text, p_owner uuid, p_currency text, p_kind text, p_name text default '',
                             p_constrained boolean default null, p_floor bigint default 0) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  wanted  uuid := account_id(p_tenant, p_owner, p_currency, p_kind, p_name);
  locked  boolean := coalesce(p_constrained, p_kind in ('available', 'held', 'promo'));
  account accounts;
begin
  insert into accounts (id, tenant_id, owner_id, currency, kind, name, constrained, floor)
  values (wanted, p_tenant, p_owner, p_currency, p_kind, p_name, locked, case when locked then p_floor end)
  on conflict (id) do nothing;
  select * into strict account from accounts a where a.id = wanted;
  if account.constrained <> locked or account.floor is distinct from (case when locked then p_floor end) then
    raise exception 'The account exists with another constraint.' using errcode = 'RK031';
  end if;
  return wanted;
end $$;
comment on function open_account(text, uuid, text, text, text, boolean, bigint) is
  'Opens an account, or finds it: (tenant, owner, currency, kind, name) has one. p_owner null: the tenant''s own. p_constrained null: by kind. p_floor null: may go below zero. Raises RK030, RK031 (it exists with another constraint), 23503 (no such currency).';

create function open_wallet(p_tenant text, p_owner uuid, p_currency text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  available uuid := account_id(p_tenant, p_owner, p_currency, 'available');
begin
  if not exists (select from accounts a where a.id = available) then
    insert into accounts (id, tenant_id, owner_id, currency, kind, constrained, floor)
    select account_id(p_tenant, w.owner, p_currency, w.kind), p_tenant, w.owner, p_currency, w.kind, w.owner is not null, case when w.owner is not null then 0 end
      from (values (p_owner, 'available'), (p_owner, 'held'), (p_owner, 'promo'),
                   (null, 'adjustments'), (null, 'clearing'), (null, 'promotion'), (null, 'revenue')) w (owner, kind)
    on conflict (id) do nothing;
  end if;
  return available;
end $$;
comment on function open_wallet(text, uuid, text) is
  'Opens an owner''s wallet of a currency: available, held and promo, and the tenant''s accounts that face them. Returns the id of available; repeatable. Raises 23503 (no such currency).';

create table idempotency_keys (
  id         uuid primary key,
  created_at timestamptz not null default clock_timestamp(),
  tenant_id  text not null,
  scope      text not null,
  key        text not null,
  verb       text not null,
  body_hash  bytea not null,
  answer     jsonb not null
);
comment on table idempotency_keys is 'Every call that was answered, and its answer, refusals too: written in the commit of its entries and kept for ever. id is derived from (tenant, scope, key); body_hash is the SHA-256 of verb and body.';

create trigger idempotency_keys_append_only before update or delete or truncate on idempotency_keys for each statement execute function append_only();

create function refused(p_code text, p_movement bigint default null) returns jsonb
language sql immutable parallel safe
return jsonb_strip_nulls(jsonb_build_object('outcome', 'refused', 'code', p_code, 'movement', p_movement, 'sentence', case p_code
  when 'INSUFFICIENT_FUNDS' then 'The balance is too low.'
  when 'ACCOUNT_NOT_FOUND' then 'The tenant has no such account.'
  when 'ACCOUNT_RESERVED' then 'Held and promotional balances are moved by their own calls only.'
  when 'SAME_ACCOUNT' then 'An account may be named once in a movement.'
  when 'CURRENCY_MISMATCH' then 'The accounts have different currencies.'
  when 'CURRENCY_UNKNOWN' then 'There is no such currency.'
  when 'UNBALANCED' then 'The entries do not sum to zero.'
  when 'BALANCE_OUT_OF_RANGE' then 'The balance would exceed what can be stored.'
  when 'PROVIDER_EVENT_USED' then 'This event of the provider has moved money already.'
  when 'REASON_REQUIRED' then 'A reason is required.'
  when 'HOLD_NOT_FOUND' then 'The tenant has no such hold.'
  when 'HOLD_RESOLVED' then 'The hold was captured, voided or expired already.'
  when 'HOLD_EXPIRED' then 'The hold has expired.'
  when 'CAPTURE_EXCEEDS_HOLD' then 'The capture is more than what is held.'
  when 'TRANSFER_NOT_FOUND' then 'The tenant has no such transfer.'
  when 'NOT_REVERSIBLE' then 'This transfer cannot be reversed.'
  when 'REVERSAL_NOT_DIVISIBLE' then 'A transfer in several currencies can be reversed as a whole only.'
  when 'REVERSAL_EXCEEDS_ORIGINAL' then 'The reversals would exceed the original.'
  when 'EXPIRY_REQUIRED' then 'A promotional credit needs an expiry in the future.' end));
comment on function refused(text, bigint) is 'A refusal as an answer: it is returned and pinned to its key, never raised, for that would undo the key. movement: which of a batch, from 1.';

create function begin_call(p_tenant text, p_scope text, p_key text, p_verb text, p_body jsonb, out id uuid, out hash bytea, out answer jsonb)
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  known bytea;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Money moves at the isolation level read committed.' using errcode = 'RK001';
  end if;
  if (p_tenant ~ '^[A-Za-z0-9_.:-]{1,64}$' and p_scope ~ '^[A-Za-z0-9_.:-]{1,128}$' and length(p_key) between 1 and 200
      and jsonb_typeof(p_body) = 'object') is not true then
    raise exception 'Tenant, scope, key or body is malformed.' using errcode = 'RK030';
  end if;
  id := derived_uuid('key|' || p_tenant || '|' || p_scope || '|' || p_key);
  hash := sha256(convert_to(p_verb || p_body::text, 'UTF8'));
  perform pg_advisory_xact_lock(hashtextextended(id::text, 30)); -- before any account: a twin waits here and then finds the answer
  select k.body_hash, k.answer into known, answer from idempotency_keys k where k.id = begin_call.id;
  if known <> hash then
    answer := '{"outcome": "conflict", "code": "IDEMPOTENCY_CONFLICT", "sentence": "This key was used with another body."}';
  elsif answer is not null then
    answer := answer || '{"replayed": true}';
  end if;
end $$;
comment on function begin_call(text, text, text, text, jsonb) is
  'First step of every verb: locks the key and gives its id; answer is what to return at once: the first answer with replayed, or a conflict. Raises RK001 (isolation), RK030 (malformed).';

create function end_call(p_tenant text, p_scope text, p_key text, p_verb text, p_id uuid, p_hash bytea, p_answer jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  insert into idempotency_keys (id, tenant_id, scope, key, verb, body_hash, answer) values (p_id, p_tenant, p_scope, p_key, p_verb, p_hash, p_answer);
  return p_answer;
end $$;
comment on function end_call(text, text, text, text, uuid, bytea, jsonb) is 'Last step of every verb: keeps the answer under its key, in the commit of the entries.';

create function minor_units(p_amount jsonb) returns bigint
language plpgsql immutable parallel safe set search_path = pg_catalog as $$
begin
  if (p_amount #>> '{}' ~ '^[1-9]\d{0,18}$') is not true then
    raise exception 'An amount is a whole number of minor units, above zero.' using errcode = 'RK030';
  end if;
  return (p_amount #>> '{}')::bigint;
end $$;
comment on function minor_units(jsonb) is 'An amount of a body, exactly: a string or number of digits, 1 to 2^63 - 1. Raises RK030, 22003.';

create function wallet_account(p_tenant text, p_body jsonb, p_kind text) returns uuid
language plpgsql immutable parallel safe set search_path = pg_catalog, public as $$
begin
  if p_body ->> 'owner_id' is null or p_body ->> 'currency' is null then
    raise exception 'A wallet is named by its owner and its currency.' using errcode = 'RK030';
  end if;
  return account_id(p_tenant, (p_body ->> 'owner_id')::uuid, p_body ->> 'currency', p_kind);
end $$;
comment on function wallet_account(text, jsonb, text) is 'The account of the wallet that a body names by owner_id and currency. Raises RK030.';

create function my_account_ids() returns setof uuid
language sql stable security definer set search_path = pg_catalog, public as $$
  select a.id from accounts a where a.owner_id = signed_in_user() or current_setting('app.platform_admin', true) = 'true'
$$;
comment on function my_account_ids() is 'The accounts of the signed-in user; all of them for a platform admin.';

do $$
declare
  t text;
begin
  foreach t in array array['currencies', 'accounts', 'idempotency_keys'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('revoke all on %I from public', t);
    execute format('create policy owner_all on %I to current_user using (true) with check (true)', t);
    execute format('create policy service_role_all on %I to service_role using (true) with check (true)', t);
    execute format('grant select on %I to service_role', t);
  end loop;
end $$;

create policy everyone_reads on currencies for select to authenticated using (true);

create policy owner_reads on accounts for select to authenticated using (id in (select my_account_ids()));

grant select on currencies, accounts to authenticated;

grant execute on function my_account_ids(), derived_uuid(text), account_id(text, uuid, text, text, text) to authenticated, service_role;

grant execute on function open_account(text, uuid, text, text, text, boolean, bigint), open_wallet(text, uuid, text) to kernel_money;
