-- Deposits: asked for, given to the payment provider, and credited once when it has captured the money.

create table deposits (
  id                uuid primary key,
  tenant_id         text not null,
  player_id         uuid not null references players,
  currency          text not null,
  amount            bigint not null check (amount > 0),
  method            text not null,
  state             text not null check (state in ('created', 'pending_provider', 'completed', 'failed')),
  status            text not null generated always as (case state when 'completed' then 'completed' when 'failed' then 'failed' else 'pending' end) stored,
  idempotency_key   text not null,
  provider          text not null,
  provider_ref      text,
  provider_event_id text,
  error_code        text,
  metadata          jsonb not null,
  flags             jsonb not null,
  balance_after     numeric,
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp()
);
create index deposits_by_player on deposits (player_id, created_at desc, id desc);
create index deposits_waiting on deposits (created_at) where state in ('created', 'pending_provider');
comment on table deposits is 'Deposits; id is derived from the key of the request. flags: how each flag was evaluated. Completed and failed are final.';

create trigger deposits_fixed before update of id, tenant_id, player_id, currency, amount, method, idempotency_key, provider, flags, created_at on deposits
  for each statement execute function append_only();

create trigger deposits_no_delete before delete or truncate on deposits for each statement execute function append_only();

create function deposits_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was where state in ('completed', 'failed')) then
    raise exception 'A completed or failed deposit is final.' using errcode = 'RK042';
  end if;
  return null;
end $$;
comment on function deposits_guard() is 'Statement trigger: a deposit ends once. Raises RK042.';

create trigger deposits_end_once after update on deposits referencing old table as was for each statement execute function deposits_guard();

create function shown_balance(p_tenant text, p_player uuid, p_currency text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  with ledger as (
    select coalesce(sum(a.balance) filter (where a.kind = 'available'), 0) available, coalesce(sum(a.balance) filter (where a.kind = 'held'), 0) held,
           coalesce(sum(a.balance) filter (where a.kind = 'promo'), 0) bonus
      from accounts a where a.owner_id = p_player and a.tenant_id = p_tenant and a.currency = p_currency
  ), shown as (
    select coalesce(old.available, l.available) available, coalesce(old.held, l.held) held, l.bonus, case when old.available is null then 'ledger' else 'legacy' end source
      from ledger l left join (select o.available::numeric, o.held::numeric from legacy_balances o where o.tenant_id = p_tenant and o.player_id = p_player
        and o.currency = p_currency and not flag_on('ledger_enforce_balance', p_tenant, p_player::text)) old on true
  )
  select jsonb_build_object('currency', p_currency, 'exponent', (select c.exponent from currencies c where c.code = p_currency), 'available_real', s.available::text,
    'held_real', s.held::text, 'total_real', (s.available + s.held)::text, 'bonus_available', s.bonus::text, 'source', s.source) from shown s
$$;
comment on function shown_balance(text, uuid, text) is 'What a player is told to have, in minor units: the balance that decides about a withdrawal now, of the ledger or of the legacy row.';

create function spent_today(p_player uuid, p_currency text, p_kind text) returns numeric
language plpgsql stable set search_path = pg_catalog, public as $$
begin
  return case p_kind
    when 'deposit' then (select coalesce(sum(d.amount), 0) from deposits d where d.player_id = p_player and d.currency = p_currency
      and d.state <> 'failed' and d.created_at >= date_trunc('day', clock_timestamp(), 'UTC'))
    else (select coalesce(sum(w.amount), 0) from withdrawals w where w.player_id = p_player and w.currency = p_currency
      and w.state not in ('rejected', 'canceled') and w.created_at >= date_trunc('day', clock_timestamp(), 'UTC')) end;
end $$;
comment on function spent_today(uuid, text, text) is 'What a player has deposited or withdrawn since the UTC day began, in minor units; what failed or was rejected does not count.';

create function deposit_refusal(p_player players, p_body jsonb, p_flags jsonb) returns text
language sql stable set search_path = pg_catalog, public as $$
  with asked as (
    select c.code currency, 10::numeric ^ c.exponent as unit, minor_units(p_body -> 'amount_minor') + spent_today(p_player.id, c.code, 'deposit') total, p.*
      from (select money_policy(p_player.tenant_id) p) m cross join lateral (select (m.p).*) p
      left join currencies c on c.code = p_body ->> 'currency'
  )
  select case when a.currency is null then 'CURRENCY_UNKNOWN'
              when not (p_player.email_verified and p_player.sms_verified) then 'AUTH_UNVERIFIED'
              when a.total > a.daily_deposit_units * a.unit then 'LIMIT_EXCEEDED'
              when (p_body ->> 'method' = 'card' or p_body ->> 'method' in ('test', 'test_bank') and (p_flags ->> 'allow_test_payment_methods')::boolean) is not true
                then 'PAYMENT_METHOD_NOT_ALLOWED'
              when p_player.kyc_status <> 'approved' and a.total > a.unverified_daily_deposit_units * a.unit then 'KYC_DEPOSIT_LIMIT' end
    from asked a
$$;
comment on function deposit_refusal(players, jsonb, jsonb) is 'The policy of deposits: why a player may not make this one now; null when allowed.';

create function deposit_row(d deposits) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', d.id, 'tx_id', d.id, 'type', 'deposit', 'tenant_id', d.tenant_id, 'player_id', d.player_id, 'amount_minor', d.amount::text, 'currency', d.currency,
    'method', d.method, 'state', d.state, 'status', d.status, 'provider', d.provider, 'provider_ref', d.provider_ref, 'provider_event_id', d.provider_event_id,
    'error_code', d.error_code, 'flags', d.flags, 'balance_after', d.balance_after::text, 'created_at', utc_text(d.created_at), 'updated_at', utc_text(d.updated_at))
$$;
comment on function deposit_row(deposits) is 'A deposit as answers show it; amounts as decimal strings of minor units.';

create function begin_deposit(p_player uuid, p_key text, p_body jsonb) returns jsonb
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
    values (call.id, player.tenant_id, player.id, p_body ->> 'currency', minor_units(p_body -> 'amount_minor'), p_body ->> 'method', 'pending_provider', p_key, 'mockpsp',
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
comment on function begin_deposit(uuid, text, jsonb) is
  'First step of a deposit: {amount_minor, currency, method}; checked and written down, to be given to the provider with the key tx_{id}. A call that died after it is taken up by the same key. Raises RK001, RK030.';

create function known_call(p_answer jsonb, p_id uuid, p_actor text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  conflict boolean := p_answer ->> 'outcome' = 'conflict';
begin
  perform audit(p_actor, case when conflict then 'FIN_IDEMPOTENCY_CONFLICT' else 'FIN_IDEMPOTENCY_HIT' end, 'transaction', p_id::text, null, '{}');
  return p_answer || case when exists (select from deposits d where d.id = p_id) or exists (select from withdrawals w where w.id = p_id)
                     then jsonb_build_object('tx_id', p_id) else '{}' end;
end $$;
comment on function known_call(jsonb, uuid, text) is 'What a player''s call answers whose key is known: the first answer, or the conflict, with the transaction that the key made. Audited.';

create function settle_deposit(p_tenant text, p_tx uuid, p_status text, p_result jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  d      deposits;
  legacy legacy_balances;
  posted jsonb := '{"outcome": "done"}';
begin
  select * into d from deposits x where x.id = p_tx and x.tenant_id = p_tenant for no key update;
  if d.id is null then return declined('TX_NOT_FOUND'); end if;
  if d.state = 'failed' and p_status = 'CAPTURED' then
    perform record_finding(d.provider, d.tenant_id, d.player_id, d.id, p_result, 'captured_after_failure', 'ERROR', 'The provider captured a deposit that had failed; it was not credited.');
  elsif d.state = 'pending_provider' and p_status = 'CAPTURED' then
    select * into legacy from legacy_balances l where l.tenant_id = d.tenant_id and l.player_id = d.player_id and l.currency = d.currency for no key update;
    if legacy.player_id is null or (d.flags ->> 'ledger_enforce_balance')::boolean or (d.flags ->> 'ledger_shadow_write')::boolean then
      posted := credit_wallet(d.tenant_id, 'deposit', 'tx_' || d.id || ':capture', jsonb_strip_nulls(jsonb_build_object('owner_id', d.player_id, 'currency', d.currency,
        'amount_minor', d.amount::text, 'kind', 'deposit_succeeded', 'reference', d.id, 'provider', d.provider, 'provider_ref', p_result ->> 'provider_ref',
        'provider_event_id', p_result ->> 'provider_event_id')));
    end if;
    if posted ->> 'outcome' <> 'done' then return posted; end if;
    perform move_legacy(d.tenant_id, d.player_id, d.currency, d.amount, 0);
    update deposits x set state = 'completed', provider_ref = p_result ->> 'provider_ref', provider_event_id = p_result ->> 'provider_event_id', updated_at = clock_timestamp(),
           balance_after = (shown_balance(d.tenant_id, d.player_id, d.currency) ->> 'total_real')::numeric where x.id = d.id returning * into d;
  elsif d.state = 'pending_provider' and p_status = 'FAILED' then
    update deposits x set state = 'failed', error_code = coalesce(p_result ->> 'error_code', 'PSP_CAPTURE_FAILED'), updated_at = clock_timestamp(),
           provider_ref = p_result ->> 'provider_ref', provider_event_id = p_result ->> 'provider_event_id' where x.id = d.id returning * into d;
  end if;
  return jsonb_build_object('outcome', 'done', 'tx_id', d.id, 'transaction', deposit_row(d), 'balance', shown_balance(d.tenant_id, d.player_id, d.currency));
end $$;
comment on function settle_deposit(text, uuid, text, jsonb) is
  'Last step of a deposit: what the provider said of it: CAPTURED credits it once, FAILED ends it, anything else leaves it pending; repeatable, in any order. {provider_ref, provider_event_id, error_code?}.';

select secure_table('deposits', false);

create policy reads on deposits for select to authenticated using (player_id = signed_in_user() or tenant_id = staff_tenant());

grant select on deposits to authenticated;

grant execute on function deposit_row(deposits) to authenticated, service_role;

grant execute on function begin_deposit(uuid, text, jsonb), settle_deposit(text, uuid, text, jsonb), shown_balance(text, uuid, text) to kernel_money;
