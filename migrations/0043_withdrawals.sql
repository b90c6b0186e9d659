-- Withdrawals: a player's request sets the money aside, somebody else reviews it, and it is paid once or given back.

create table withdrawals (
  id              uuid primary key,
  tenant_id       text not null,
  player_id       uuid not null references players,
  currency        text not null,
  amount          bigint not null check (amount > 0),
  method          text not null,
  state           text not null default 'requested'
                  check (state in ('requested', 'approved', 'rejected', 'canceled', 'payout_pending', 'unknown', 'payout_failed', 'paid')),
  status          text not null generated always as (case state when 'requested' then 'pending' when 'payout_pending' then 'processing' when 'unknown' then 'processing'
                    when 'payout_failed' then 'failed' else state end) stored,
  idempotency_key text not null,
  hold_id         uuid,
  provider        text,
  provider_ref    text,
  provider_event_id text,
  review_reason   text,
  reviewed_by     text,
  reviewed_at     timestamptz,
  paid_by         text,
  paid_at         timestamptz,
  balance_after   numeric,
  flags           jsonb not null,
  metadata        jsonb not null,
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp()
);
create index withdrawals_by_tenant on withdrawals (tenant_id, created_at desc, id desc);
create index withdrawals_by_player on withdrawals (player_id, created_at desc, id desc);
create index withdrawals_open on withdrawals (tenant_id, state, created_at) where state not in ('paid', 'rejected', 'canceled');
comment on table withdrawals is 'Withdrawals; id is derived from the key of the request and is that of its hold. hold_id null: the legacy balance alone was moved. flags: how each flag was evaluated, once, and which balance decided. unknown: the provider has not said whether it paid, so nothing else may.';

create trigger withdrawals_fixed before update of id, tenant_id, player_id, currency, amount, method, idempotency_key, hold_id, flags, metadata, balance_after, created_at
  on withdrawals for each statement execute function append_only();

create trigger withdrawals_no_delete before delete or truncate on withdrawals for each statement execute function append_only();

create function withdrawal_may(p_from text, p_to text) returns boolean
language sql immutable parallel safe
return p_from = p_to or p_to = any (case p_from
  when 'requested' then '{approved,rejected,canceled}'::text[]
  when 'approved' then '{paid,payout_pending}'::text[]
  when 'payout_pending' then '{paid,payout_failed,unknown}'::text[]
  when 'unknown' then '{paid,payout_failed}'::text[]
  when 'payout_failed' then '{payout_pending,rejected,paid}'::text[]
  else '{}'::text[] end);
comment on function withdrawal_may(text, text) is 'The state machine of withdrawals. payout_failed may become paid: a provider may say so late.';

create function withdrawals_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was w join made m on m.id = w.id where not withdrawal_may(w.state, m.state)) then
    raise exception 'A withdrawal cannot change so.' using errcode = 'RK043';
  end if;
  return null;
end $$;
comment on function withdrawals_guard() is 'Statement trigger: withdrawals change along their state machine only. Raises RK043.';

create trigger withdrawals_change_legally after update on withdrawals referencing old table as was new table as made
  for each statement execute function withdrawals_guard();

create function withdrawal_row(w withdrawals) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', w.id, 'tx_id', w.id, 'type', 'withdrawal', 'tenant_id', w.tenant_id, 'player_id', w.player_id, 'amount_minor', w.amount::text, 'currency', w.currency,
    'method', w.method, 'address', w.metadata -> 'address', 'state', w.state, 'status', w.status, 'review_reason', w.review_reason, 'reviewed_by', w.reviewed_by,
    'reviewed_at', utc_text(w.reviewed_at), 'paid_by', w.paid_by, 'paid_at', utc_text(w.paid_at), 'provider', w.provider, 'provider_ref', w.provider_ref,
    'provider_event_id', w.provider_event_id, 'flags', w.flags, 'balance_after', w.balance_after::text, 'created_at', utc_text(w.created_at), 'updated_at', utc_text(w.updated_at))
$$;
comment on function withdrawal_row(withdrawals) is 'A withdrawal as answers show it; amounts as decimal strings of minor units.';

create function withdrawal_refusal(p_player players, p_body jsonb, p_flags jsonb) returns text
language sql stable set search_path = pg_catalog, public as $$
  with asked as (
    select c.code currency, 10::numeric ^ c.exponent as unit, minor_units(p_body -> 'amount_minor') + spent_today(p_player.id, c.code, 'withdrawal') total,
           (money_policy(p_player.tenant_id)).daily_withdrawal_units
      from (values (1)) one left join currencies c on c.code = p_body ->> 'currency'
  )
  select case when a.currency is null then 'CURRENCY_UNKNOWN'
              when a.total > a.daily_withdrawal_units * a.unit then 'LIMIT_EXCEEDED'
              when (p_body ->> 'method' in ('bank', 'card', 'crypto') or p_body ->> 'method' in ('test', 'test_bank') and (p_flags ->> 'allow_test_payment_methods')::boolean) is not true
                then 'WITHDRAW_METHOD_NOT_ALLOWED'
              when p_player.kyc_status <> 'approved' then 'KYC_REQUIRED_FOR_WITHDRAWAL' end
    from asked a
$$;
comment on function withdrawal_refusal(players, jsonb, jsonb) is 'The policy of withdrawals, before funds: why a player may not ask for this one now; null when allowed.';

create function hold_withdrawal(p_id uuid, p_player players, p_body jsonb, p_flags jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  currency  text := p_body ->> 'currency';
  taken     bigint := minor_units(p_body -> 'amount_minor');
  available uuid := account_id(p_player.tenant_id, p_player.id, currency, 'available');
  held      uuid := account_id(p_player.tenant_id, p_player.id, currency, 'held');
  enforced  boolean := (p_flags ->> 'ledger_enforce_balance')::boolean;
  legacy    legacy_balances;
  by_legacy boolean;
  ledger    numeric;
  answer    jsonb := '{"outcome": "done"}';
begin
  select * into legacy from legacy_balances l where l.tenant_id = p_player.tenant_id and l.player_id = p_player.id and l.currency = p_body ->> 'currency' for no key update;
  perform lock_accounts(array[available, held]);
  select a.balance into ledger from accounts a where a.id = available;
  by_legacy := legacy.player_id is not null and not enforced;
  if legacy.available <> coalesce(ledger, 0) and (p_flags ->> 'ledger_balance_mismatch_log')::boolean then
    perform record_finding('wallet_ledger', p_player.tenant_id, p_player.id, p_id, jsonb_build_object('provider_event_id', p_id, 'legacy', legacy.available::text, 'ledger', ledger::text,
      'enforced', enforced), 'ledger_balance_mismatch', 'WARN', 'At a withdrawal the legacy balance differed from the ledger.');
  end if;
  if enforced and ledger is null then
    perform record_finding('wallet_ledger', p_player.tenant_id, p_player.id, p_id, jsonb_build_object('provider_event_id', p_id), 'wallet_missing', 'WARN',
      'A withdrawal was refused, for the player has no wallet in the ledger.');
  end if;
  if taken > coalesce(case when by_legacy then legacy.available else ledger end, 0) then return refused('INSUFFICIENT_FUNDS'); end if;
  if not by_legacy or (p_flags ->> 'ledger_shadow_write')::boolean then
    if ledger is null then perform open_wallet(p_player.tenant_id, p_player.id, currency); end if;
    answer := post(p_player.tenant_id, p_id, array[p_id], array[jsonb_build_object('kind', 'withdraw_requested', 'reference', p_id)], array[1, 1],
                   array[available, held], array[- taken, taken], p_overdraw => by_legacy, p_reversible => array[false]);
    if answer ->> 'outcome' <> 'done' then return answer; end if;
    insert into holds (id, tenant_id, account_id, held_id, amount) values (p_id, p_player.tenant_id, available, held, taken);
    answer := answer || jsonb_build_object('hold_id', p_id);
  end if;
  perform move_legacy(p_player.tenant_id, p_player.id, currency, - taken, taken);
  return answer || jsonb_build_object('decided_by', case when by_legacy then 'legacy' else 'ledger' end);
end $$;
comment on function hold_withdrawal(uuid, players, jsonb, jsonb) is
  'Decides about the funds of a withdrawal and sets them aside. Enforced, or without a legacy row, the ledger decides and a missing wallet has no funds; else the legacy row does, and the ledger is written beside it where shadow writes are on, below zero if need be. A difference of the two leaves a finding.';

create function request_withdrawal(p_player uuid, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  player players;
  call   record;
  flags  jsonb;
  code   text;
  before jsonb;
  made   withdrawals;
  answer jsonb;
begin
  select * into player from players p where p.id = p_player for no key update;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  call := begin_call(player.tenant_id, 'player:' || p_player, p_key, 'withdraw', p_body);
  if call.answer is not null then return known_call(call.answer, call.id, p_player::text); end if;
  if (select count(*) from withdrawals w where w.player_id = p_player and w.created_at > clock_timestamp() - interval '1 minute')
      >= (money_policy(player.tenant_id)).withdrawals_per_minute then
    return declined('VELOCITY_LIMIT_EXCEEDED', '{"retry_after_s": 60}'); -- not pinned: the same key may come again
  end if;
  flags := money_flags(player.tenant_id, player.id);
  before := shown_balance(player.tenant_id, p_player, p_body ->> 'currency');
  code := withdrawal_refusal(player, p_body, flags);
  answer := case when code is null then hold_withdrawal(call.id, player, p_body, flags) else declined(code) end;
  if answer ->> 'outcome' = 'done' then
    insert into withdrawals (id, tenant_id, player_id, currency, amount, method, idempotency_key, hold_id, flags, metadata, balance_after)
    values (call.id, player.tenant_id, player.id, p_body ->> 'currency', minor_units(p_body -> 'amount_minor'), p_body ->> 'method', p_key, (answer ->> 'hold_id')::uuid,
            flags || jsonb_build_object('decided_by', answer ->> 'decided_by'),
            jsonb_build_object('request_hash', encode(call.hash, 'hex'), 'address', p_body -> 'address'), (before ->> 'total_real')::numeric) returning * into made;
    answer := answer || jsonb_build_object('tx_id', made.id, 'transaction', withdrawal_row(made), 'balance', shown_balance(player.tenant_id, p_player, made.currency));
  end if;
  perform audit(p_player::text, case when code = 'KYC_REQUIRED_FOR_WITHDRAWAL' then 'FIN_KYC_WITHDRAW_BLOCK' when code = 'LIMIT_EXCEEDED' then 'FIN_TENANT_LIMIT_BLOCKED'
                else 'FIN_WITHDRAW_REQUESTED' end, 'withdrawal', call.id::text, null,
    jsonb_strip_nulls(jsonb_build_object('outcome', answer ->> 'outcome', 'code', answer ->> 'code', 'amount_minor', p_body ->> 'amount_minor', 'before', before, 'after', answer -> 'balance')));
  return end_call(player.tenant_id, 'player:' || p_player, p_key, 'withdraw', call.id, call.hash, answer);
end $$;
comment on function request_withdrawal(uuid, text, jsonb) is
  'A player asks for money: {amount_minor, currency, method, address?}. The flags are read here, once, and kept on the row. Every refusal but the one for speed is pinned to the key. Raises RK001, RK030.';

create function note_withdrawal(w withdrawals, p_actor text, p_action text, p_before jsonb, p_more jsonb) returns void
language sql volatile set search_path = pg_catalog, public as $$
  select audit(p_actor, p_action, 'withdrawal', w.id::text, null, jsonb_build_object('state', w.state, 'amount_minor', w.amount::text, 'before', p_before,
    'after', shown_balance(w.tenant_id, w.player_id, w.currency)) || p_more)
$$;
comment on function note_withdrawal(withdrawals, text, text, jsonb, jsonb) is 'Audits a change of a withdrawal, with the player''s balance before and after it.';

create function pay_withdrawal(p_tx withdrawals, p_actor text, p_result jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  before jsonb := shown_balance(p_tx.tenant_id, p_tx.player_id, p_tx.currency);
  paid   withdrawals;
  answer jsonb := '{"outcome": "done"}';
begin
  perform from legacy_balances l where l.tenant_id = p_tx.tenant_id and l.player_id = p_tx.player_id and l.currency = p_tx.currency for no key update;
  if p_tx.hold_id is not null then -- one key whichever path comes first: the debit happens once
    answer := capture(p_tx.tenant_id, 'withdrawal', 'withdraw_paid:' || p_tx.id, jsonb_strip_nulls(jsonb_build_object('hold_id', p_tx.hold_id, 'kind', 'withdraw_paid', 'reference', p_tx.id,
      'actor', p_actor, 'provider', p_result ->> 'provider', 'provider_ref', p_result ->> 'provider_ref', 'provider_event_id', p_result ->> 'provider_event_id')));
    if answer ->> 'outcome' <> 'done' then return answer; end if;
  end if;
  perform move_legacy(p_tx.tenant_id, p_tx.player_id, p_tx.currency, 0, - p_tx.amount);
  update withdrawals w set state = 'paid', paid_by = p_actor, paid_at = clock_timestamp(), updated_at = clock_timestamp(), provider = p_result ->> 'provider',
         provider_ref = p_result ->> 'provider_ref', provider_event_id = p_result ->> 'provider_event_id' where w.id = p_tx.id returning * into paid;
  perform note_withdrawal(paid, p_actor, case p_result ->> 'provider' when 'manual' then 'FIN_WITHDRAW_MARK_PAID' else 'FIN_WITHDRAW_PAID' end, before, p_result);
  return jsonb_build_object('outcome', 'done', 'tx_id', paid.id, 'transaction', withdrawal_row(paid));
end $$;
comment on function pay_withdrawal(withdrawals, text, jsonb) is 'Takes the held money of a withdrawal, whose row the caller has locked, and makes it paid: {provider, provider_ref?, provider_event_id?}.';

create function review_withdrawal(p_tx withdrawals, p_actor text, p_body jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  wanted text := case p_body ->> 'action' when 'approve' then 'approved' when 'reject' then 'rejected' end;
  before jsonb := shown_balance(p_tx.tenant_id, p_tx.player_id, p_tx.currency);
  done   withdrawals;
  freed  jsonb := '{"outcome": "done"}';
begin
  if wanted is null then return declined('INVALID_ACTION');
  elsif btrim(coalesce(p_body ->> 'reason', '')) = '' then return declined('REASON_REQUIRED');
  elsif p_actor = p_tx.player_id::text then return declined('FOUR_EYES');
  elsif not withdrawal_may(p_tx.state, wanted) then
    return declined('ILLEGAL_TRANSACTION_STATE_TRANSITION', jsonb_build_object('from_state', p_tx.state, 'to_state', wanted, 'tx_type', 'withdrawal'));
  elsif p_tx.state = wanted then
    return jsonb_build_object('outcome', 'done', 'tx_id', p_tx.id, 'changed', false, 'transaction', withdrawal_row(p_tx));
  end if;
  if wanted = 'rejected' then
    perform from legacy_balances l where l.tenant_id = p_tx.tenant_id and l.player_id = p_tx.player_id and l.currency = p_tx.currency for no key update;
    if p_tx.hold_id is not null then
      freed := void(p_tx.tenant_id, 'withdrawal', 'withdraw_reject:' || p_tx.id, jsonb_build_object('hold_id', p_tx.hold_id, 'kind', 'withdraw_rejected', 'reference', p_tx.id,
        'actor', p_actor, 'reason', left(p_body ->> 'reason', 2000)));
      if freed ->> 'outcome' <> 'done' then return freed; end if;
    end if;
    perform move_legacy(p_tx.tenant_id, p_tx.player_id, p_tx.currency, p_tx.amount, - p_tx.amount);
  end if;
  update withdrawals w set state = wanted, review_reason = p_body ->> 'reason', reviewed_by = p_actor, reviewed_at = clock_timestamp(), updated_at = clock_timestamp()
   where w.id = p_tx.id returning * into done;
  perform note_withdrawal(done, p_actor, 'FIN_WITHDRAW_' || upper(wanted), before, jsonb_build_object('reason', p_body ->> 'reason', 'from_state', p_tx.state));
  return jsonb_build_object('outcome', 'done', 'tx_id', done.id, 'changed', true, 'transaction', withdrawal_row(done));
end $$;
comment on function review_withdrawal(withdrawals, text, jsonb) is
  'Approves or rejects a withdrawal whose row the caller has locked: {action: approve|reject, reason}. A rejection gives the money back. What is so already stays so.';

select secure_table('withdrawals', false);

create policy reads on withdrawals for select to authenticated using (player_id = signed_in_user() or tenant_id = staff_tenant());

grant select on withdrawals to authenticated;

grant execute on function withdrawal_row(withdrawals) to authenticated, service_role;

grant execute on function request_withdrawal(uuid, text, jsonb) to kernel_money;
