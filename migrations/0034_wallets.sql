-- Money, fifth part: wallets. An owner's available, held and promo accounts of a currency; promotional lots that expire and are
-- spent earliest expiry first; and the two views that the requirements name. Points and money are the same machinery.

create table promo_lots (
  id         uuid primary key,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  amount     bigint not null check (amount > 0),
  remaining  bigint not null check (remaining between 0 and amount),
  account_id uuid not null,
  tenant_id  text not null
) with (fillfactor = 80);
create index promo_lots_open on promo_lots (account_id, expires_at) where remaining > 0;
create index promo_lots_due on promo_lots (expires_at) where remaining > 0;
comment on table promo_lots is 'One promotional credit each; id is that of the transfer that granted it. What remains is spent earliest expiry first, and never once expired; what remains of a promo account''s lots is its balance. Changes under the lock of that account.';

create table promo_moves (
  transfer_no bigint not null,
  amount      bigint not null check (amount <> 0),
  lot_id      uuid not null,
  primary key (transfer_no, lot_id)
);
create index promo_moves_by_lot on promo_moves (lot_id);
comment on table promo_moves is 'What each transfer did to a lot: granted or given back above zero, spent or expired below. Append-only.';

create trigger promo_lots_fixed before update of id, created_at, expires_at, amount, account_id, tenant_id on promo_lots
  for each statement execute function append_only();

create trigger promo_lots_no_delete before delete or truncate on promo_lots for each statement execute function append_only();

create trigger promo_moves_append_only before update or delete or truncate on promo_moves for each statement execute function append_only();

create function move_wallet(p_tenant text, p_scope text, p_key text, p_verb text, p_body jsonb, p_credit boolean, p_facing text, p_kind text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  call      record;
  available uuid := wallet_account(p_tenant, p_body, 'available');
  currency  text := p_body ->> 'currency';
  amount    bigint;
  answer    jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, p_verb, p_body);
  if call.answer is not null then return call.answer; end if;
  amount := minor_units(p_body -> 'amount_minor');
  if p_verb = 'adjust_wallet' and btrim(coalesce(p_body ->> 'reason', '')) = '' then
    answer := refused('REASON_REQUIRED');
  elsif not exists (select from currencies c where c.code = currency) then
    answer := refused('CURRENCY_UNKNOWN');
  else
    if p_credit then perform open_wallet(p_tenant, (p_body ->> 'owner_id')::uuid, currency); end if;
    amount := case when p_credit then amount else - amount end;
    answer := post(p_tenant, call.id, array[call.id], array[jsonb_build_object('kind', p_kind) || p_body], array[1, 1],
      array[available, coalesce((p_body ->> 'account_id')::uuid, account_id(p_tenant, null, currency, p_facing))],
      array[amount, - amount], p_reserved => false, p_overdraw => coalesce((p_body ->> 'overdraw')::boolean, false));
    if answer ->> 'code' = 'ACCOUNT_NOT_FOUND' and not p_body ? 'account_id' then answer := refused('INSUFFICIENT_FUNDS'); end if;
  end if;
  return end_call(p_tenant, p_scope, p_key, p_verb, call.id, call.hash, answer);
end $$;
comment on function move_wallet(text, text, text, text, jsonb, boolean, text, text) is 'Moves money between an available balance and an account of the tenant; what credit_wallet, debit_wallet and adjust_wallet share.';

create function credit_wallet(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
begin
  return move_wallet(p_tenant, p_scope, p_key, 'credit_wallet', p_body, true, 'clearing', 'deposit');
end $$;
comment on function credit_wallet(text, text, text, jsonb) is
  'Adds money to a wallet, which is opened when it is new: {owner_id, currency, amount_minor, kind?, account_id?, event_at?, reference?, provider?, ...}; account_id: where it comes from, by default the tenant''s clearing account. Raises RK001, RK030.';

create function debit_wallet(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
begin
  return move_wallet(p_tenant, p_scope, p_key, 'debit_wallet', p_body, false, 'clearing', 'withdrawal');
end $$;
comment on function debit_wallet(text, text, text, jsonb) is
  'Takes money from a wallet: {owner_id, currency, amount_minor, kind?, account_id?, overdraw?, ...}; overdraw: below zero too, as a chargeback does. A wallet that does not exist has no funds. Raises RK001, RK030.';

create function adjust_wallet(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
begin
  if (p_body ->> 'direction' in ('credit', 'debit')) is not true then
    raise exception 'An adjustment is a debit or a credit.' using errcode = 'RK030';
  end if;
  return move_wallet(p_tenant, p_scope, p_key, 'adjust_wallet', p_body, p_body ->> 'direction' = 'credit', 'adjustments', 'admin_adjustment');
end $$;
comment on function adjust_wallet(text, text, text, jsonb) is
  'A correction by a person: {owner_id, currency, direction, amount_minor, reason, actor?, overdraw?, ...}; without a reason it is refused. Raises RK001, RK030.';

create function grant_promo(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call     record;
  promo    uuid := wallet_account(p_tenant, p_body, 'promo');
  currency text := p_body ->> 'currency';
  expiry   timestamptz := (p_body ->> 'expires_at')::timestamptz;
  granted  bigint;
  answer   jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'grant_promo', p_body);
  if call.answer is not null then return call.answer; end if;
  granted := minor_units(p_body -> 'amount_minor');
  if (expiry > clock_timestamp()) is not true then
    answer := refused('EXPIRY_REQUIRED');
  elsif not exists (select from currencies c where c.code = currency) then
    answer := refused('CURRENCY_UNKNOWN');
  else
    perform open_wallet(p_tenant, (p_body ->> 'owner_id')::uuid, currency);
    answer := post(p_tenant, call.id, array[call.id], array['{"kind": "promo_credit"}' || p_body], array[1, 1],
                   array[promo, account_id(p_tenant, null, currency, 'promotion')], array[granted, - granted], p_reversible => array[false]);
  end if;
  if answer ->> 'outcome' = 'done' then
    insert into promo_lots (id, tenant_id, account_id, amount, remaining, expires_at) values (call.id, p_tenant, promo, granted, granted, expiry);
    insert into promo_moves (transfer_no, lot_id, amount) select t.no, call.id, granted from transfers t where t.id = call.id;
    answer := answer || jsonb_build_object('lot_id', call.id);
  end if;
  return end_call(p_tenant, p_scope, p_key, 'grant_promo', call.id, call.hash, answer);
end $$;
comment on function grant_promo(text, text, text, jsonb) is
  'Adds a promotional lot to a wallet: {owner_id, currency, amount_minor, expires_at, kind?, reference?, ...}; without an expiry in the future it is refused. Raises RK001, RK030.';

create function spend(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call      record;
  available uuid := wallet_account(p_tenant, p_body, 'available');
  promo     uuid := wallet_account(p_tenant, p_body, 'promo');
  revenue   uuid := account_id(p_tenant, null, p_body ->> 'currency', 'revenue');
  price     bigint;
  now_at    timestamptz;
  from_lots bigint;
  answer    jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'spend', p_body);
  if call.answer is not null then return call.answer; end if;
  price := minor_units(p_body -> 'amount_minor');
  perform lock_accounts(array[available, promo]);
  now_at := clock_timestamp();
  select least(price, coalesce(sum(l.remaining), 0)) into from_lots from promo_lots l where l.account_id = promo and l.remaining > 0 and l.expires_at > now_at;
  select post(p_tenant, call.id, array[call.id], array['{"kind": "spend"}' || p_body], array_agg(1), array_agg(e.account), array_agg(e.amount)) into answer
    from (values (available, from_lots - price), (promo, - from_lots), (revenue, price)) e (account, amount) where e.amount <> 0;
  if answer ->> 'code' = 'ACCOUNT_NOT_FOUND' then answer := refused('INSUFFICIENT_FUNDS'); end if;
  if answer ->> 'outcome' = 'done' and from_lots > 0 then
    with lots as (
      select l.id, l.remaining, sum(l.remaining) over (order by l.expires_at, l.id) upto
        from promo_lots l where l.account_id = promo and l.remaining > 0 and l.expires_at > now_at
    ), parts as (
      select l.id, least(l.remaining, from_lots - (l.upto - l.remaining))::bigint part from lots l where l.upto - l.remaining < from_lots
    ), spent as (
      update promo_lots l set remaining = l.remaining - p.part from parts p where l.id = p.id
    )
    insert into promo_moves (transfer_no, lot_id, amount) select t.no, p.id, - p.part from parts p, transfers t where t.id = call.id;
    answer := answer || jsonb_build_object('promo_minor', from_lots::text);
  end if;
  return end_call(p_tenant, p_scope, p_key, 'spend', call.id, call.hash, answer);
end $$;
comment on function spend(text, text, text, jsonb) is
  'Spends from a wallet to the tenant''s revenue: {owner_id, currency, amount_minor, kind?, reference?, ...}; promotional lots first, earliest expiry first, then the available balance. Raises RK001, RK030.';

create function restore_lots(p_original bigint, p_reversal uuid) returns void
language sql volatile set search_path = pg_catalog, public as $$
  with given as (
    select t.no, e.amount from transfers t join entries e on e.transfer_no = t.no join accounts a on a.id = e.account_id
     where t.id = p_reversal and a.kind = 'promo'
  ), used as (
    select m.lot_id, - sum(m.amount) used from promo_moves m
     where m.transfer_no = p_original or m.transfer_no in (select t.no from transfers t where t.reverses = p_original) group by m.lot_id
  ), lots as (
    select l.id, u.used, sum(u.used) over (order by l.expires_at desc, l.id) upto from used u join promo_lots l on l.id = u.lot_id
  ), parts as (
    select l.id, g.no, least(l.used, g.amount - (l.upto - l.used))::bigint part from lots l, given g where l.upto - l.used < g.amount and l.used > 0
  ), restored as (
    update promo_lots l set remaining = l.remaining + p.part from parts p where l.id = p.id
  )
  insert into promo_moves (transfer_no, lot_id, amount) select p.no, p.id, p.part from parts p
$$;
comment on function restore_lots(bigint, uuid) is 'Gives the promotional part of a reversal back to the lots that the original spent, the latest expiry first; called by reverse only, under its locks.';

create function expire_promo(p_limit integer default 500) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  now_at  timestamptz := clock_timestamp();
  owned   uuid[];
  lot     record;
  booking uuid;
  expired integer := 0;
begin
  owned := array(select distinct d.account_id from (select l.account_id from promo_lots l where l.remaining > 0 and l.expires_at <= now_at
                  order by l.expires_at limit least(greatest(p_limit, 1), 5000)) d);
  perform lock_accounts(owned);
  for lot in select l.id, l.tenant_id, l.account_id, l.remaining, a.currency, (select count(*) from promo_moves m where m.lot_id = l.id) nth
               from promo_lots l join accounts a on a.id = l.account_id
              where l.account_id = any(owned) and l.remaining > 0 and l.expires_at <= now_at loop
    booking := derived_uuid('expiry|' || lot.id || '|' || lot.nth);
    continue when post(lot.tenant_id, null, array[booking], array['{"kind": "promo_expiry"}'::jsonb], array[1, 1],
      array[lot.account_id, account_id(lot.tenant_id, null, lot.currency, 'promotion')], array[- lot.remaining, lot.remaining],
      p_reversible => array[false]) ->> 'outcome' <> 'done';
    insert into promo_moves (transfer_no, lot_id, amount) select t.no, lot.id, - lot.remaining from transfers t where t.id = booking;
    update promo_lots l set remaining = 0 where l.id = lot.id;
    expired := expired + 1;
  end loop;
  return expired;
end $$;
comment on function expire_promo(integer) is 'Takes what remains of expired lots back, and says how many lots; repeatable.';
