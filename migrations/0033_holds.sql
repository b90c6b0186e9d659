-- Money, fourth part: holds. Held money is moved to the owner's held account at once, and out of it once: captured, voided or expired.

create table holds (
  id              uuid primary key,
  created_at      timestamptz not null default clock_timestamp(),
  expires_at      timestamptz,
  resolved_at     timestamptz,
  amount          bigint not null check (amount > 0),
  captured_amount bigint not null default 0 check (captured_amount between 0 and amount),
  account_id      uuid not null,
  held_id         uuid not null,
  tenant_id       text not null,
  status          text not null default 'pending' check (status in ('pending', 'captured', 'voided', 'expired')),
  check ((status = 'pending') = (resolved_at is null)),
  check ((status = 'captured') = (captured_amount > 0))
) with (fillfactor = 80);
create index holds_due on holds (expires_at) where status = 'pending' and expires_at is not null;
create index holds_pending on holds (held_id) where status = 'pending';
create index holds_by_account on holds (account_id, created_at);
comment on table holds is 'Money set aside from account_id in held_id; id is that of the transfer that did it. Resolved once; expires_at null: waits for capture or void.';

create trigger holds_fixed before update of id, created_at, expires_at, amount, account_id, held_id, tenant_id on holds
  for each statement execute function append_only();

create trigger holds_no_delete before delete or truncate on holds for each statement execute function append_only();

create function holds_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was where status <> 'pending') then
    raise exception 'A hold is resolved once.' using errcode = 'RK033';
  end if;
  return null;
end $$;
comment on function holds_guard() is 'Statement trigger: only a pending hold changes. Raises RK033.';

create trigger holds_resolved_once after update on holds referencing old table as was for each statement execute function holds_guard();

create function lock_accounts(p_ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform from accounts a where a.id = any(p_ids) and a.constrained order by a.id for no key update;
end $$;
comment on function lock_accounts(uuid[]) is 'Locks the constrained ones of these accounts in the order of ids; first, where a call posts more than once, for so no two calls wait for each other.';

create function hold(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call      record;
  amount    bigint;
  available uuid := wallet_account(p_tenant, p_body, 'available');
  held      uuid := wallet_account(p_tenant, p_body, 'held');
  answer    jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'hold', p_body);
  if call.answer is not null then return call.answer; end if;
  amount := minor_units(p_body -> 'amount_minor');
  answer := post(p_tenant, call.id, array[call.id], array['{"kind": "hold"}' || p_body], array[1, 1], array[available, held], array[- amount, amount], p_reversible => array[false]);
  if answer ->> 'code' = 'ACCOUNT_NOT_FOUND' then answer := refused('INSUFFICIENT_FUNDS'); end if; -- who has no wallet has no funds
  if answer ->> 'outcome' = 'done' then
    insert into holds (id, tenant_id, account_id, held_id, amount, expires_at)
    values (call.id, p_tenant, available, held, amount,
            clock_timestamp() + (case when p_body ? 'expires_in_s' then minor_units(p_body -> 'expires_in_s') end) * interval '1 second');
    answer := answer || jsonb_build_object('hold_id', call.id);
  end if;
  return end_call(p_tenant, p_scope, p_key, 'hold', call.id, call.hash, answer);
end $$;
comment on function hold(text, text, text, jsonb) is
  'Sets money of a wallet aside: {owner_id, currency, amount_minor, expires_in_s?, kind?, reference?, ...}; expires_in_s counts on the database''s clock. Raises RK001, RK030.';

create function hold_refusal(p_hold holds, p_tenant text) returns text
language sql stable set search_path = pg_catalog, public as $$
  select case when p_hold.tenant_id is distinct from p_tenant then 'HOLD_NOT_FOUND'
              when p_hold.status = 'expired' or p_hold.status = 'pending' and p_hold.expires_at <= clock_timestamp() then 'HOLD_EXPIRED'
              when p_hold.status <> 'pending' then 'HOLD_RESOLVED' end
$$;
comment on function hold_refusal(holds, text) is 'Why a hold cannot be resolved by its tenant now; null when it can. A hold is expired at its instant, whether the job has run or not.';

create function capture(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call   record;
  held   holds;
  owned  accounts;
  target uuid;
  taken  bigint;
  code   text;
  answer jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'capture', p_body);
  if call.answer is not null then return call.answer; end if;
  select * into held from holds h where h.id = (p_body ->> 'hold_id')::uuid for no key update;
  select * into owned from accounts a where a.id = held.account_id;
  target := coalesce((p_body ->> 'account_id')::uuid, account_id(owned.tenant_id, null, owned.currency, 'clearing'));
  taken := case when p_body ? 'amount_minor' then minor_units(p_body -> 'amount_minor') else held.amount end;
  code := coalesce(hold_refusal(held, p_tenant), case when taken > held.amount then 'CAPTURE_EXCEEDS_HOLD'
                   when exists (select from accounts a where a.id = target and a.kind in ('held', 'promo')) then 'ACCOUNT_RESERVED' end);
  if code is not null then
    answer := refused(code);
  else
    answer := case when taken = held.amount
      then post(p_tenant, call.id, array[call.id], array['{"kind": "capture"}' || p_body], array[1, 1], array[held.held_id, target], array[- taken, taken])
      else post(p_tenant, call.id, array[call.id, derived_uuid(call.id || '|release')], array['{"kind": "capture"}' || p_body, '{"kind": "release"}'],
                array[1, 1, 2, 2], array[held.held_id, target, held.held_id, held.account_id], array[- taken, taken, taken - held.amount, held.amount - taken],
                p_reversible => array[true, false]) end;
  end if;
  if answer ->> 'outcome' = 'done' then
    update holds h set status = 'captured', captured_amount = taken, resolved_at = clock_timestamp() where h.id = held.id;
  end if;
  return end_call(p_tenant, p_scope, p_key, 'capture', call.id, call.hash, answer);
end $$;
comment on function capture(text, text, text, jsonb) is
  'Takes held money, whole or in part, and releases the rest: {hold_id, amount_minor?, account_id?, kind?, reference?, ...}; account_id: where it goes, by default the tenant''s clearing account. Once a hold. Raises RK001, RK030.';

create function void(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call   record;
  held   holds;
  answer jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'void', p_body);
  if call.answer is not null then return call.answer; end if;
  select * into held from holds h where h.id = (p_body ->> 'hold_id')::uuid for no key update;
  answer := refused(hold_refusal(held, p_tenant));
  if answer -> 'code' is null then
    answer := post(p_tenant, call.id, array[call.id], array['{"kind": "release"}' || p_body], array[1, 1], array[held.held_id, held.account_id],
                   array[- held.amount, held.amount], p_reversible => array[false]);
    if answer ->> 'outcome' = 'done' then
      update holds h set status = 'voided', resolved_at = clock_timestamp() where h.id = held.id;
    end if;
  end if;
  return end_call(p_tenant, p_scope, p_key, 'void', call.id, call.hash, answer);
end $$;
comment on function void(text, text, text, jsonb) is 'Gives held money back to the available balance: {hold_id, kind?, reason?, ...}. Once a hold. Raises RK001, RK030.';

create function expire_holds(p_limit integer default 500) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  due     holds[];
  each    holds;
  expired integer := 0;
begin
  select array_agg(d) into due from (
    select h from holds h where h.status = 'pending' and h.expires_at <= clock_timestamp()
     order by h.expires_at limit least(greatest(p_limit, 1), 5000) for update skip locked) s (d);
  perform lock_accounts(array(select unnest(array[d.account_id, d.held_id]) from unnest(due) d));
  foreach each in array coalesce(due, '{}') loop
    continue when post(each.tenant_id, null, array[derived_uuid('expiry|' || each.id)], array['{"kind": "release", "reason": "expired"}'::jsonb], array[1, 1],
      array[each.held_id, each.account_id], array[- each.amount, each.amount], p_reversible => array[false]) ->> 'outcome' <> 'done';
    update holds h set status = 'expired', resolved_at = clock_timestamp() where h.id = each.id;
    expired := expired + 1;
  end loop;
  return expired;
end $$;
comment on function expire_holds(integer) is 'Releases holds whose instant has passed, and says how many; repeatable, and two callers never get the same one. One that cannot be released does not hold back the others.';

do $$
begin
  alter table holds enable row level security;
  alter table holds force row level security;
  revoke all on holds from public;
  execute 'create policy owner_all on holds to current_user using (true) with check (true)';
  create policy service_role_all on holds to service_role using (true) with check (true);
  create policy owner_reads on holds for select to authenticated using (account_id in (select my_account_ids()));
  grant select on holds to service_role, authenticated;
end $$;

grant execute on function hold(text, text, text, jsonb), capture(text, text, text, jsonb), void(text, text, text, jsonb) to kernel_money;

grant execute on function expire_holds(integer) to kernel_jobs;
