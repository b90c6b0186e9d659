-- Payments, third part: what an event does to money. Events come in any order and any number of times: what cannot be applied yet
-- is held and taken up when that has come which it waits for, and every effect has a key of its own.

create table deposit_reversals (
  id          uuid primary key,
  created_at  timestamptz not null default clock_timestamp(),
  deposit_id  uuid not null references deposits,
  event       uuid not null references provider_events,
  amount      bigint not null check (amount > 0),
  kind        text not null check (kind in ('refund', 'refund_failed', 'chargeback', 'chargeback_won')),
  provider    text not null,
  ref         text not null,
  transfer_id uuid,
  unique (provider, kind, ref)
);
create index deposit_reversals_of_deposit on deposit_reversals (deposit_id);
comment on table deposit_reversals is 'Each refund, chargeback, failed refund and won chargeback of a deposit once, by what the provider calls it. transfer_id null: only the legacy balance was moved. Append-only.';

create trigger deposit_reversals_append_only before update or delete or truncate on deposit_reversals for each statement execute function append_only();

create function event_finding(p_event provider_events, p_type text, p_severity text, p_message text, p_more jsonb default '{}') returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform record_finding(p_event.provider, p_event.tenant_id, p_event.player_id, p_event.tx_id, jsonb_strip_nulls(jsonb_build_object('provider_event_id', p_event.event_id, 'provider_ref', p_event.provider_ref,
    'ref', p_event.ref, 'kind', p_event.kind, 'amount_minor', p_event.amount::text, 'currency', p_event.currency)) || p_more, p_type, p_severity, p_message);
  return jsonb_build_object('outcome', 'finding', 'finding_type', p_type);
end $$;
comment on function event_finding(provider_events, text, text, text, jsonb) is 'Leaves a finding about an event instead of an effect.';

create function event_problem(p_event provider_events, p_tenant text, p_player uuid, p_amount bigint, p_currency text, p_provider text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  ours jsonb := jsonb_build_object('expected', jsonb_strip_nulls(jsonb_build_object('amount_minor', p_amount::text, 'currency', p_currency)));
begin
  return case
    when p_tenant is null then event_finding(p_event, 'unknown_transaction', 'ERROR', 'An event of the provider names a transaction that does not exist; no money was moved.')
    when p_event.tenant_id <> p_tenant or p_event.player_id is distinct from p_player then
      event_finding(p_event, 'owner_mismatch', 'CRITICAL', 'An event of the provider names another tenant or player than its transaction; no money was moved.')
    when p_event.provider <> p_provider then event_finding(p_event, 'provider_mismatch', 'CRITICAL', 'An event came from another provider than the one that the transaction was given to.')
    when p_event.currency <> p_currency then event_finding(p_event, 'currency_mismatch', 'ERROR', 'The currency of the provider differs from the transaction''s; no money was moved.', ours)
    when p_event.amount <> p_amount then event_finding(p_event, 'amount_mismatch', 'ERROR', 'The amount of the provider differs from the transaction''s; no money was moved.', ours) end;
end $$;
comment on function event_problem(provider_events, text, uuid, bigint, text, text) is 'Why an event cannot be about this transaction, as the finding that it leaves; null when it can. p_amount null: any amount.';

create or replace function settle_deposit(p_tenant text, p_tx uuid, p_status text, p_result jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  d      deposits;
  legacy legacy_balances;
  posted jsonb := '{"outcome": "done"}';
begin
  select * into d from deposits x where x.id = p_tx and x.tenant_id = p_tenant for no key update;
  if d.id is null then return declined('TX_NOT_FOUND'); end if;
  if d.state in ('pending_provider', 'failed') and p_status = 'CAPTURED' then -- a try that failed may be followed by one that did not
    select * into legacy from legacy_balances l where l.tenant_id = d.tenant_id and l.player_id = d.player_id and l.currency = d.currency for no key update;
    if legacy.player_id is null or (d.flags ->> 'ledger_enforce_balance')::boolean or (d.flags ->> 'ledger_shadow_write')::boolean then
      posted := credit_wallet(d.tenant_id, 'deposit', 'tx_' || d.id || ':capture', jsonb_strip_nulls(jsonb_build_object('owner_id', d.player_id, 'currency', d.currency,
        'amount_minor', d.amount::text, 'kind', 'deposit_succeeded', 'reference', d.id, 'provider', d.provider, 'provider_ref', p_result ->> 'provider_ref',
        'provider_event_id', p_result ->> 'provider_event_id')));
    end if;
    if posted ->> 'outcome' <> 'done' then return posted; end if;
    perform move_legacy(d.tenant_id, d.player_id, d.currency, d.amount, 0);
    update deposits x set state = 'completed', error_code = null, provider_ref = p_result ->> 'provider_ref', provider_event_id = p_result ->> 'provider_event_id', updated_at = clock_timestamp(),
           balance_after = (shown_balance(d.tenant_id, d.player_id, d.currency) ->> 'total_real')::numeric where x.id = d.id returning * into d;
    perform apply_held_events(d.id);
    select * into d from deposits x where x.id = p_tx;
  elsif d.state = 'pending_provider' and p_status = 'FAILED' then
    update deposits x set state = 'failed', error_code = coalesce(p_result ->> 'error_code', 'PSP_CAPTURE_FAILED'), updated_at = clock_timestamp(),
           provider_ref = p_result ->> 'provider_ref', provider_event_id = p_result ->> 'provider_event_id' where x.id = d.id returning * into d;
  elsif d.state = 'pending_provider' and (p_status = 'AUTHORIZED' and d.authorized_at is null or d.provider_ref is null and p_result ? 'provider_ref') then
    update deposits x set authorized_at = case p_status when 'AUTHORIZED' then clock_timestamp() else x.authorized_at end, updated_at = clock_timestamp(),
           provider_ref = coalesce(p_result ->> 'provider_ref', x.provider_ref) where x.id = d.id returning * into d;
  end if;
  return jsonb_build_object('outcome', 'done', 'tx_id', d.id, 'transaction', deposit_row(d), 'balance', shown_balance(d.tenant_id, d.player_id, d.currency));
end $$;
comment on function settle_deposit(text, uuid, text, jsonb) is
  'What the provider said of a deposit: CAPTURED credits it once, also when a try had failed before; FAILED ends it, AUTHORIZED is noted, anything else leaves it pending; repeatable, in any order. {provider_ref, provider_event_id, error_code?}.';

create function held(p_until text, p_again interval default null) returns jsonb
language sql stable set search_path = pg_catalog
return jsonb_strip_nulls(jsonb_build_object('outcome', 'held', 'waits_for', p_until, 'again_at', clock_timestamp() + p_again));
comment on function held(text, interval) is 'An event that cannot be applied before something else has come; p_again: when to try by itself.';

create function give_back(p_event provider_events, p_deposit deposits) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  undone text := case p_event.kind when 'chargeback_won' then 'chargeback' else 'refund' end;
  lost   deposit_reversals;
  answer jsonb := '{"outcome": "done"}';
begin
  select * into lost from deposit_reversals r where (r.provider, r.kind, r.ref) = (p_event.provider, undone, p_event.ref);
  if lost.id is null then return held(undone); end if;
  if lost.deposit_id <> p_deposit.id or p_event.amount <> lost.amount then
    return event_finding(p_event, 'amount_mismatch', 'ERROR', 'What is given back is not what was taken; no money was moved.', jsonb_build_object('expected', jsonb_build_object('amount_minor', lost.amount::text)));
  end if;
  if lost.transfer_id is not null then
    answer := credit_wallet(p_deposit.tenant_id, 'deposit', concat_ws(':', p_event.kind, p_event.provider, p_event.ref), jsonb_build_object('owner_id', p_deposit.player_id,
      'currency', p_deposit.currency, 'amount_minor', lost.amount::text, 'kind', p_event.kind, 'reference', p_deposit.id, 'provider', p_event.provider,
      'provider_event_id', p_event.kind || ':' || p_event.ref));
    if answer ->> 'outcome' <> 'done' then return answer; end if;
  end if;
  perform move_legacy(p_deposit.tenant_id, p_deposit.player_id, p_deposit.currency, lost.amount, 0);
  insert into deposit_reversals (id, deposit_id, event, amount, kind, provider, ref, transfer_id)
  values (derived_uuid(concat_ws('|', 'reversal', p_event.provider, p_event.kind, p_event.ref)), p_deposit.id, p_event.id, lost.amount, p_event.kind, p_event.provider, p_event.ref,
          (answer -> 'transfer_ids' ->> 0)::uuid);
  update deposits d set updated_at = clock_timestamp(), charged_back = d.charged_back - case undone when 'chargeback' then lost.amount else 0 end,
         refunded = d.refunded - case undone when 'refund' then lost.amount else 0 end where d.id = p_deposit.id;
  return '{"outcome": "settled"}';
end $$;
comment on function give_back(provider_events, deposits) is 'Gives back what a chargeback that was won, or a refund that failed, had taken; once that is there.';

create function reverse_deposit(p_event provider_events, p_deposit deposits) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  original uuid := derived_uuid('key|' || p_deposit.tenant_id || '|deposit|tx_' || p_deposit.id || ':capture');
  answer   jsonb := '{"outcome": "done"}';
  funds    numeric;
begin
  if p_deposit.refunded + p_deposit.charged_back + p_event.amount > p_deposit.amount then
    if p_deposit.refunded + p_event.amount <= p_deposit.amount then return held('chargeback_won'); end if; -- a dispute that is won makes room for it
    return event_finding(p_event, 'amount_mismatch', 'ERROR', 'More was taken back from a deposit than it had brought; no money was moved.',
      jsonb_build_object('expected', jsonb_build_object('amount_minor', (p_deposit.amount - p_deposit.refunded - p_deposit.charged_back)::text)));
  end if;
  if exists (select from transfers t where t.id = original) then
    -- what the wallet cannot bear now leaves no refusal under the key: the key is of the try
    answer := reverse(p_deposit.tenant_id, 'deposit', concat_ws(':', p_event.kind, p_event.provider, p_event.ref, nullif(p_event.attempts, 0)), jsonb_build_object('transfer_id', original,
      'amount_minor', p_event.amount::text, 'kind', p_event.kind, 'reference', p_deposit.id, 'provider', p_event.provider, 'provider_event_id', p_event.kind || ':' || p_event.ref,
      'overdraw', flag_on('allow_negative_balance', p_deposit.tenant_id, p_deposit.player_id::text)));
    if answer ->> 'code' = 'REVERSAL_EXCEEDS_ORIGINAL' then -- what a won dispute gave back is taken again, which is no part of the original
      answer := debit_wallet(p_deposit.tenant_id, 'deposit', concat_ws(':', p_event.kind, p_event.provider, p_event.ref, 'again', nullif(p_event.attempts, 0)), jsonb_build_object(
        'owner_id', p_deposit.player_id, 'currency', p_deposit.currency, 'amount_minor', p_event.amount::text, 'kind', p_event.kind, 'reference', p_deposit.id, 'provider', p_event.provider,
        'provider_event_id', p_event.kind || ':' || p_event.ref, 'overdraw', flag_on('allow_negative_balance', p_deposit.tenant_id, p_deposit.player_id::text)));
    end if;
    if answer ->> 'code' = 'INSUFFICIENT_FUNDS' then
      perform event_finding(p_event, 'reversal_uncovered', 'ERROR', 'The wallet cannot bear what the provider has taken back, and may not go below zero.');
      return held('funds', interval '1 hour');
    elsif answer ->> 'outcome' <> 'done' then return answer; end if;
  end if;
  perform move_legacy(p_deposit.tenant_id, p_deposit.player_id, p_deposit.currency, - p_event.amount, 0);
  insert into deposit_reversals (id, deposit_id, event, amount, kind, provider, ref, transfer_id)
  values (derived_uuid(concat_ws('|', 'reversal', p_event.provider, p_event.kind, p_event.ref)), p_deposit.id, p_event.id, p_event.amount, p_event.kind, p_event.provider, p_event.ref,
          (answer -> 'transfer_ids' ->> 0)::uuid);
  update deposits d set refunded = d.refunded + case p_event.kind when 'refund' then p_event.amount else 0 end, updated_at = clock_timestamp(),
         charged_back = d.charged_back + case p_event.kind when 'chargeback' then p_event.amount else 0 end where d.id = p_deposit.id;
  select a.balance into funds from accounts a where a.id = account_id(p_deposit.tenant_id, p_deposit.player_id, p_deposit.currency, 'available');
  if funds < 0 then
    perform event_finding(p_event, 'negative_balance', 'WARN', 'What the provider took back was spent already; the wallet is below zero.');
  end if;
  return '{"outcome": "settled"}';
end $$;
comment on function reverse_deposit(provider_events, deposits) is 'Takes a refund or chargeback from the wallet, up to what the deposit brought; below zero where allow_negative_balance is on, else the event is held.';

create function settle_deposit_event(p_event provider_events) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  d       deposits;
  known   deposit_reversals;
  problem jsonb;
  answer  jsonb;
begin
  select * into d from deposits x where x.id = p_event.tx_id for no key update;
  problem := event_problem(p_event, d.tenant_id, d.player_id, case p_event.kind when 'deposit_captured' then d.amount end, d.currency, d.provider);
  if problem is not null then return problem; end if;
  if p_event.kind like 'deposit\_%' then
    answer := settle_deposit(d.tenant_id, d.id, case p_event.kind when 'deposit_captured' then 'CAPTURED' when 'deposit_failed' then 'FAILED' else 'AUTHORIZED' end,
      jsonb_build_object('provider_ref', p_event.provider_ref, 'provider_event_id', p_event.event_id, 'error_code', coalesce(p_event.error_code, p_event.payload ->> 'error_code')));
    if answer ->> 'outcome' <> 'done' then return answer; end if;
    return jsonb_build_object('outcome', 'settled', 'state', answer -> 'transaction' -> 'state');
  end if;
  if d.state <> 'completed' then return held('deposit_captured'); end if;
  select * into known from deposit_reversals r where (r.provider, r.kind, r.ref) = (p_event.provider, p_event.kind, p_event.ref);
  if known.id is not null then
    if known.deposit_id = d.id and known.amount = coalesce(p_event.amount, known.amount) then return '{"outcome": "settled"}'; end if;
    return event_finding(p_event, 'amount_mismatch', 'ERROR', 'The provider tells of one refund or dispute in two ways; the first one counts.', jsonb_build_object('expected', jsonb_build_object('amount_minor', known.amount::text)));
  end if;
  answer := case when p_event.kind in ('chargeback_won', 'refund_failed') then give_back(p_event, d) else reverse_deposit(p_event, d) end;
  if answer ->> 'outcome' = 'settled' then perform apply_held_events(d.id); end if;
  return answer;
end $$;
comment on function settle_deposit_event(provider_events) is 'What an event does to the deposit that it names.';

create function settle_withdrawal_event(p_event provider_events) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  paid    boolean := p_event.kind = 'withdraw_paid';
  w       withdrawals;
  tried   payout_attempts;
  problem jsonb;
  answer  jsonb;
begin
  select * into w from withdrawals x where x.id = p_event.tx_id for no key update;
  select a.* into tried from payout_attempts a where a.withdraw_tx_id = w.id and a.provider = p_event.provider
     and (p_event.attempt_key is null or p_event.attempt_key = 'tx_' || w.id || ':' || a.idempotency_key)
   order by a.provider_event_id is not distinct from p_event.event_id desc, a.status in ('pending', 'unknown') desc, a.attempt_no desc limit 1;
  problem := event_problem(p_event, w.tenant_id, w.player_id, case when paid then w.amount end, w.currency, coalesce(tried.provider, p_event.provider));
  if problem is not null then return problem; end if;
  if tried.id is null and paid and w.state = 'approved' then
    insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, reason, created_by)
    values (derived_uuid('payout|' || w.id || '|event:' || p_event.id), w.id, w.tenant_id, 1 + (select count(*) from payout_attempts a where a.withdraw_tx_id = w.id), p_event.provider,
            'event:' || p_event.id, 'pending', 'The provider paid without being asked by the kernel.', 'system:webhook') returning * into tried;
    update withdrawals x set state = 'payout_pending', updated_at = clock_timestamp() where x.id = w.id;
  elsif tried.id is null then
    if not paid then return '{"outcome": "ignore"}'; end if;
    return event_finding(p_event, case w.state when 'paid' then 'duplicate_payout' else 'paid_after_rejection' end, 'CRITICAL',
      'The provider paid a withdrawal that was ' || w.state || '; nothing was debited for it.');
  end if;
  answer := settle_payout(w.tenant_id, tried.id, case when paid then 'PAID' else 'FAILED' end,
    jsonb_strip_nulls(jsonb_build_object('provider_ref', p_event.provider_ref, 'provider_event_id', p_event.event_id, 'error_code', coalesce(p_event.error_code, p_event.payload ->> 'error_code'))));
  if answer ->> 'outcome' <> 'done' then return answer; end if;
  return jsonb_build_object('outcome', 'settled', 'state', (select x.state from withdrawals x where x.id = w.id));
end $$;
comment on function settle_withdrawal_event(provider_events) is
  'What an event does to the withdrawal that it names: it settles the payout that it is about. One that is paid without having been asked for settles an approved withdrawal, and is a finding for any other.';

create function settle_event(p_event provider_events) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  answer jsonb := case when p_event.kind like 'withdraw\_%' then settle_withdrawal_event(p_event) else settle_deposit_event(p_event) end;
begin
  if answer ->> 'outcome' not in ('settled', 'ignore', 'finding', 'held') then
    raise exception '%', coalesce(answer ->> 'sentence', answer ->> 'code') using errcode = 'RK054';
  end if;
  update provider_events e set attempts = p_event.attempts + 1, failures = 0, last_error = null, next_attempt_at = (answer ->> 'again_at')::timestamptz, result = answer,
         processed_at = case when answer ->> 'outcome' <> 'held' then clock_timestamp() end,
         status = case answer ->> 'outcome' when 'held' then 'held' when 'ignore' then 'ignored' else 'processed' end where e.id = p_event.id;
  return answer;
end $$;
comment on function settle_event(provider_events) is 'Applies an event of a payment, whose row the caller has locked, and notes what became of it. Raises RK054 with the cause.';

create function apply_held_events(p_tx uuid) returns integer
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  event   uuid;
  applied integer := 0;
begin
  for event in select e.id from provider_events e where e.tx_id = p_tx and e.status = 'held' and e.kind is not null order by e.kind in ('chargeback_won', 'refund_failed'), e.occurred_at, e.id for update loop
    perform process_event(event); -- what fails is tried again by itself: it holds back nothing that it waited for
    applied := applied + 1;
  end loop;
  return applied;
end $$;
comment on function apply_held_events(uuid) is 'Applies what had come too early for a transaction, in the commit of what it waited for.';

create or replace function plan_credit(p_event provider_events) returns jsonb
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  owner   text := coalesce(p_event.payload ->> 'uid', p_event.payload #>> '{customer,metadata,uid}', p_event.payload #>> '{order,customer,metadata,uid}', p_event.payload ->> 'player_id', p_event.player_id::text);
  line    record;
  product products;
  known   order_lines;
  steps   jsonb := '[]';
begin
  if event_order(p_event.payload) is null then return '{"error": "Missing orderId in the event."}'; end if;
  for line in select * from event_lines(p_event.payload) loop
    if (owner ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and line.product_id is not null) is not true then
      return '{"error": "Missing uid or productId in the event."}';
    elsif line.quantity !~ '^[1-9]\d{0,8}$' then
      return '{"error": "The quantity is not a whole number above zero."}';
    end if;
    select * into known from order_lines o where o.tenant_id = p_event.tenant_id and o.provider = p_event.provider and o.order_id = event_order(p_event.payload) and o.line_id = line.line_id;
    if known.transfer_id is not null then
      steps := steps || jsonb_build_object('action', 'already_credited', 'line_id', line.line_id, 'transfer_id', known.transfer_id);
      continue;
    end if;
    select * into product from products p where p.tenant_id = p_event.tenant_id and p.provider = p_event.provider and p.product_id = line.product_id;
    if product.product_id is null then return jsonb_build_object('error', 'Product not found: ' || line.product_id); end if;
    if product.points::numeric * line.quantity::bigint > 9223372036854775807 then return '{"error": "The amount is out of range."}'; end if;
    steps := steps || jsonb_build_object('action', 'credit', 'line_id', line.line_id, 'product_id', line.product_id, 'product_version', product.version, 'quantity', line.quantity,
      'owner_id', owner, 'currency', product.currency, 'amount_minor', (product.points * line.quantity::bigint)::text);
  end loop;
  return jsonb_build_object('action', 'credit', 'steps', steps);
end $$;
create or replace function plan_event(p_event provider_events) returns jsonb
language sql stable set search_path = pg_catalog, public
return case when p_event.kind is not null then jsonb_build_object('action', 'settle', 'steps', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('action', p_event.kind, 'tx_id', p_event.tx_id,
              'amount_minor', p_event.amount::text, 'currency', p_event.currency))))
            when p_event.type in ('ON_ORDER_COMPLETED', 'ON_DELIVERY_ITEM_ADDED', 'ON_SUBSCRIPTION_RENEWED') then plan_credit(p_event)
            when p_event.type in ('ON_REFUND', 'ON_CHARGEBACK') then plan_reversal(p_event)
            else '{"action": "ignore", "steps": []}' end;

create or replace function apply_event(p_event uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  event  provider_events;
  plan   jsonb;
  step   jsonb;
  answer jsonb;
  done   jsonb := '[]';
  held   boolean := false;
begin
  select * into event from provider_events e where e.id = p_event for update;
  if event.processed_at is not null then return coalesce(event.result, '{}') || '{"outcome": "already_processed"}'; end if;
  if event.kind is not null then return settle_event(event); end if;
  if event.player_id is null then -- whose it is may have become known since it came
    select coalesce(o.tenant_id, event.tenant_id), o.player_id into event.tenant_id, event.player_id
      from event_owner(event.provider, event.account, jsonb_build_object('customer_id', event.payload #>> '{customer,id}')) o;
  end if;
  perform pg_advisory_xact_lock(hashtextextended(concat_ws('|', 'order', event.tenant_id, event.provider, event_order(event.payload)), 52)); -- both events of a line take turns
  event.attempts := event.attempts + 1;
  for step in select jsonb_array_elements(coalesce(event.result -> 'steps', '[]')) loop
    if step ? 'hold_id' then
      perform void(event.tenant_id, 'provider:' || event.provider, concat_ws('|', 'void', step ->> 'hold_id'), jsonb_build_object('hold_id', step -> 'hold_id'));
    end if;
  end loop;
  plan := plan_event(event);
  if plan ? 'error' then raise exception '%', plan ->> 'error' using errcode = 'RK054'; end if;
  for step in select jsonb_array_elements(plan -> 'steps') loop
    answer := null;
    if step ->> 'action' = 'credit' then
      answer := credit_wallet(event.tenant_id, 'provider:' || event.provider, 'line|' || derived_uuid(concat_ws('|', event_order(event.payload), step ->> 'line_id')), jsonb_build_object(
        'owner_id', step -> 'owner_id', 'currency', step -> 'currency', 'amount_minor', step -> 'amount_minor', 'kind', 'purchase', 'event_at', event.occurred_at,
        'provider', event.provider, 'provider_ref', left(event_order(event.payload), 128), 'reference', left(step ->> 'line_id', 200), 'actor', 'system:backfill',
        'metadata', jsonb_build_object('event_id', event.event_id, 'product_id', step -> 'product_id', 'product_version', step -> 'product_version')));
      insert into order_lines (transfer_id, tenant_id, provider, order_id, line_id, owner_id, product_id, product_version, quantity, amount, currency)
      select (answer -> 'transfer_ids' ->> 0)::uuid, event.tenant_id, event.provider, event_order(event.payload), step ->> 'line_id', (step ->> 'owner_id')::uuid,
             step ->> 'product_id', (step ->> 'product_version')::integer, (step ->> 'quantity')::bigint, (step ->> 'amount_minor')::bigint, step ->> 'currency'
       where answer ->> 'outcome' = 'done';
    elsif step ->> 'action' = 'reverse' then
      answer := take_back(event, step, flag_on('allow_negative_balance', event.tenant_id, step ->> 'owner_id'));
    end if;
    if answer ->> 'code' = 'INSUFFICIENT_FUNDS' then held := true;
    elsif answer ->> 'outcome' <> 'done' then raise exception '%', answer ->> 'sentence' using errcode = 'RK054'; end if;
    done := done || jsonb_strip_nulls(step || jsonb_build_object('transfer_id', coalesce(answer -> 'transfer_ids' -> 0, step -> 'transfer_id'), 'hold_id', answer -> 'hold_id'));
  end loop;
  update provider_events e set attempts = event.attempts, last_error = null, next_attempt_at = null, processed_at = case when not held then clock_timestamp() end,
         status = case when held then 'held' when plan ->> 'action' = 'ignore' then 'ignored' else 'processed' end, result = jsonb_build_object('steps', done) where e.id = p_event;
  return jsonb_build_object('outcome', case when held then 'held' else plan ->> 'action' end, 'steps', done);
end $$;
comment on function apply_event(uuid) is
  'Applies an event of a provider in one commit, or says that it was: credits each line of an order once, takes back what a refund or chargeback says. allow_negative_balance off: what a wallet cannot bear is held, and the event stays open. Raises RK054 with the cause.';

select secure_table('deposit_reversals', false);
