-- Payments, fourth part: working through the events that wait, each in a subtransaction of its own so that a bad one holds back no
-- other; payouts by the provider of their method; and payouts that wait for an answer.

create function process_event(p_event uuid) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  became jsonb;
  cause  text;
  event  provider_events;
begin
  begin
    return jsonb_build_object('id', p_event, 'outcome', apply_event(p_event) ->> 'outcome');
  exception when others then
    get stacked diagnostics cause = message_text;
  end;
  update provider_events e set attempts = e.attempts + 1, failures = e.failures + 1, last_error = left(cause, 1000), status = case when e.failures >= 7 then 'dead' else 'failed' end,
         next_attempt_at = clock_timestamp() + interval '10 seconds' * 2 ^ e.failures where e.id = p_event returning * into event;
  if event.status = 'dead' then
    perform event_finding(event, 'event_dead', 'ERROR', 'An event of a provider could not be applied and is not tried any more: ' || left(cause, 200));
  end if;
  return jsonb_build_object('id', p_event, 'outcome', event.status, 'cause', cause);
end $$;
comment on function process_event(uuid) is 'Applies an event, or notes why it could not be: tried again after 10 s, twice as long each time, and dead with a finding after eight attempts.';

create function process_events(p_events jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  event uuid;
  done  jsonb := '[]';
begin
  -- one event of each player, in the order of players: so no call ever waits in a circle, neither with its like nor with the player
  for event in select e.id from provider_events e where e.id in (select distinct on (d.player_id) d.id from provider_events d
     where d.id in (select x::uuid from jsonb_array_elements_text(p_events) x)
       and (d.status = 'received' or d.status in ('failed', 'held') and d.next_attempt_at <= clock_timestamp()) order by d.player_id, d.occurred_at, d.id)
   order by e.player_id limit 200 for update skip locked loop
    done := done || process_event(event);
  end loop;
  return done;
end $$;
comment on function process_events(jsonb) is 'Applies those of these events that are due, at most one of each player, and says what became of each; call it again until nothing is left. Another call that has one of them is not waited for.';

create function process_due_events(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set lock_timeout = '3s' as $$
begin
  return process_events((select coalesce(jsonb_agg(e.id), '[]') from (
    select e.id from provider_events e where e.source <> 'file' and e.status in ('received', 'failed', 'held') and (e.next_attempt_at <= clock_timestamp()
       or e.status = 'received' and e.received_at < clock_timestamp() - interval '20 seconds')
     order by e.next_attempt_at nulls first, e.received_at limit least(p_limit, 200)) e));
end $$;
comment on function process_due_events(integer) is 'Applies events whose message was lost or whose next try has come. Those of a file wait for the backfill that was asked for.';

create function payment_backlog() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('waiting', (count(*) filter (where e.status in ('received', 'failed')))::text, 'held', (count(*) filter (where e.status = 'held'))::text,
    'dead', (count(*) filter (where e.status = 'dead'))::text, 'oldest_s', coalesce(ceil(extract(epoch from clock_timestamp() - min(e.received_at) filter (where e.status in ('received', 'failed')))), 0)::text)
    from provider_events e where e.source <> 'file' and e.processed_at is null
$$;
comment on function payment_backlog() is 'How many events of providers wait, are held, or are dead, and how old the oldest is that waits.';

create or replace function begin_payout(p_tx withdrawals, p_actor text, p_key text, p_verb text, p_body jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  policy  money_policies := money_policy(p_tx.tenant_id);
  carrier text := provider_of(p_tx.tenant_id, p_tx.method, flag_on('allow_test_payment_methods', p_tx.tenant_id, p_tx.player_id::text));
  tries   integer;
  failed  timestamptz;
  wait_s  integer;
  key     text;
  made    payout_attempts;
begin
  select count(*), max(a.updated_at) filter (where a.status = 'failed') into tries, failed from payout_attempts a where a.withdraw_tx_id = p_tx.id;
  -- without a key, a retry whose reply was lost finds its own attempt again while that is at work
  key := coalesce(p_key, 'retry:' || tries - (p_tx.state = 'payout_pending')::integer);
  select * into made from payout_attempts a where a.withdraw_tx_id = p_tx.id and a.idempotency_key = key;
  if made.id is not null then return jsonb_build_object('outcome', 'done', 'tx_id', p_tx.id, 'attempt_id', made.id); end if;
  wait_s := ceil(policy.payout_cooldown_s - extract(epoch from clock_timestamp() - failed));
  if p_verb = 'retry' and btrim(coalesce(p_body ->> 'reason', '')) = '' then return declined('REASON_REQUIRED');
  elsif p_actor = p_tx.player_id::text then return declined('FOUR_EYES');
  elsif p_tx.state <> 'payout_failed' and (p_verb = 'retry' or p_tx.state <> 'approved') then
    return declined('INVALID_STATE_TRANSITION', jsonb_build_object('from_state', p_tx.state, 'to_state', 'payout_pending', 'tx_type', 'withdrawal'));
  elsif tries > policy.payout_retries then return declined('PAYMENT_RETRY_LIMIT_EXCEEDED');
  elsif p_verb = 'retry' and wait_s > 0 then return declined('PAYMENT_COOLDOWN_ACTIVE', jsonb_build_object('retry_after_s', wait_s));
  elsif carrier is null then
    return declined('PROVIDER_NOT_CONFIGURED', jsonb_build_object('sentence', 'No provider pays by this method; pay by hand and mark it paid, or configure one.'));
  end if;
  insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, reason, created_by)
  values (derived_uuid('payout|' || p_tx.id || '|' || key), p_tx.id, p_tx.tenant_id, tries + 1, carrier, key, 'pending', p_body ->> 'reason', p_actor) returning * into made;
  update withdrawals w set state = 'payout_pending', updated_at = clock_timestamp() where w.id = p_tx.id;
  perform audit(p_actor, 'FIN_WITHDRAW_PAYOUT_STARTED', 'withdrawal', p_tx.id::text, null, jsonb_build_object('attempt_id', made.id, 'attempt_no', made.attempt_no, 'reason', made.reason));
  return jsonb_build_object('outcome', 'done', 'tx_id', p_tx.id, 'attempt_id', made.id);
end $$;

create function payout_order(w withdrawals, a payout_attempts) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('provider', a.provider, 'key', 'tx_' || w.id || ':' || a.idempotency_key, 'tx_id', w.id, 'tenant_id', w.tenant_id, 'player_id', w.player_id, 'amount_minor', w.amount::text,
    'currency', w.currency, 'address', w.metadata -> 'address', 'provider_ref', a.provider_ref, 'asked_at', utc_text(a.created_at))
$$;
comment on function payout_order(withdrawals, payout_attempts) is 'What the provider of a payout attempt is told; the key names the attempt there, whoever asks and however often.';

create or replace function read_withdrawal(p_tenant text, p_tx uuid, p_attempt uuid default null) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  w withdrawals;
begin
  perform sign_in(null, false), set_config('app.staff_tenant', p_tenant, true);
  select * into w from withdrawals x where x.id = p_tx and x.tenant_id = p_tenant;
  if w.id is null then return null; end if;
  return jsonb_build_object('transaction', withdrawal_row(w),
    'payout_attempts', (select coalesce(jsonb_agg(attempt_row(a) order by a.attempt_no), '[]') from payout_attempts a where a.withdraw_tx_id = w.id),
    'payout_attempt', (select attempt_row(a) from payout_attempts a where a.id = p_attempt),
    'order', (select payout_order(w, a) from payout_attempts a where a.id = p_attempt));
end $$;

grant execute on function payout_order(withdrawals, payout_attempts) to authenticated, service_role;

create function waiting_payouts(p_limit integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select coalesce(jsonb_agg(jsonb_build_object('attempt_id', x.id, 'tenant_id', x.tenant_id, 'order', x.said)), '[]') from (
    select a.id, a.tenant_id, payout_order(w, a) said from payout_attempts a join withdrawals w on w.id = a.withdraw_tx_id
     where a.status in ('pending', 'unknown') and a.updated_at < clock_timestamp() - interval '2 minutes'
       and a.created_at > clock_timestamp() - interval '30 days' order by a.updated_at limit least(p_limit, 100)) x
$$;
comment on function waiting_payouts(integer) is 'Payouts that nobody has had an answer of for two minutes, with the order to ask their provider about again, under the key of the attempt.';

create function cancel_withdrawal(p_player uuid, p_tx uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  w     withdrawals;
  freed jsonb := '{"outcome": "done"}';
begin
  select * into w from withdrawals x where x.id = p_tx and x.player_id = p_player for no key update;
  if w.id is null then return declined('TX_NOT_FOUND'); end if;
  if w.state = 'canceled' then return jsonb_build_object('outcome', 'done', 'tx_id', w.id, 'changed', false, 'transaction', withdrawal_row(w), 'balance', shown_balance(w.tenant_id, w.player_id, w.currency)); end if;
  if w.state <> 'requested' then
    return declined('ILLEGAL_TRANSACTION_STATE_TRANSITION', jsonb_build_object('from_state', w.state, 'to_state', 'canceled', 'tx_type', 'withdrawal'));
  end if;
  perform from legacy_balances l where l.tenant_id = w.tenant_id and l.player_id = w.player_id and l.currency = w.currency for no key update;
  if w.hold_id is not null then
    freed := void(w.tenant_id, 'withdrawal', 'withdraw_cancel:' || w.id, jsonb_build_object('hold_id', w.hold_id, 'kind', 'withdraw_canceled', 'reference', w.id, 'actor', p_player));
    if freed ->> 'outcome' <> 'done' then return freed; end if;
  end if;
  perform move_legacy(w.tenant_id, w.player_id, w.currency, w.amount, - w.amount);
  update withdrawals x set state = 'canceled', updated_at = clock_timestamp() where x.id = w.id returning * into w;
  perform note_withdrawal(w, p_player::text, 'FIN_WITHDRAW_CANCELED', null, '{}');
  return jsonb_build_object('outcome', 'done', 'tx_id', w.id, 'changed', true, 'transaction', withdrawal_row(w), 'balance', shown_balance(w.tenant_id, w.player_id, w.currency));
end $$;
comment on function cancel_withdrawal(uuid, uuid) is 'A player takes back a withdrawal that nobody has reviewed yet; the money is free again. Repeatable.';

create or replace function event_lines(p_payload jsonb) returns table (nth bigint, line_id text, product_id text, quantity text, amount text)
language plpgsql immutable parallel safe set search_path = pg_catalog, public as $$
begin -- its plan is kept for the session; that of a function in SQL is made anew at every call
  return query
    with given as (select coalesce(p_payload -> 'lines', p_payload -> 'items', p_payload #> '{order,lines}', p_payload #> '{order,items}') list)
    select l.nth, coalesce(l.line ->> 'lineId', l.line ->> 'line_id', case when g.list is not null then l.line ->> 'id' end, l.line ->> 'productId', l.line ->> 'product_id', l.line #>> '{product,id}'),
           coalesce(l.line ->> 'productId', l.line ->> 'product_id', l.line #>> '{product,id}'), coalesce(l.line ->> 'quantity', '1'), coalesce(l.line ->> 'amount_minor', l.line ->> 'points')
      from given g cross join lateral jsonb_array_elements(case when jsonb_typeof(g.list) = 'array' then g.list else jsonb_build_array(p_payload) end) with ordinality l (line, nth);
end $$;

create function backfill_steps(p_migration text, p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off as $$
declare
  wanted integer := least(greatest(p_limit, 1), 100);
  job    data_migrations;
  item   data_migration_items;
  last   data_migration_items;
  became jsonb;
  cause  text;
  worked integer := 0;
  done   integer := 0;
  held   integer := 0;
  errors integer := 0;
  alone  boolean := false; -- payments lock what their player locks: each has a commit of its own
begin
  perform require_flag('backfill_enabled');
  select * into job from data_migrations m where m.id = p_migration for update;
  if job.id is null then raise exception 'There is no such backfill.' using errcode = 'RK053'; end if;
  if job.status <> 'running' or job.type = 'wallet_snapshots' then return migration_json(job) || '{"idle": true, "held": 0}'; end if;
  for item in select i.* from data_migration_items i where i.migration_id = p_migration and i.status in ('pending', 'failed') and i.next_attempt_at <= clock_timestamp()
     order by i.next_attempt_at, i.nth limit wanted loop
    select e.kind is not null into alone from provider_events e where e.id = item.item::uuid;
    exit when alone and worked > 0;
    became := null;
    cause := null;
    begin
      became := apply_event(item.item::uuid);
    exception when others then
      get stacked diagnostics cause = message_text;
    end;
    update data_migration_items i set attempts = i.attempts + 1, result = became, last_error = left(cause, 1000), updated_at = clock_timestamp(),
           status = case when cause is null then case became ->> 'outcome' when 'held' then 'held' else 'done' end when i.attempts >= 4 then 'dead' else 'failed' end,
           next_attempt_at = clock_timestamp() + interval '30 seconds' * 2 ^ i.attempts
     where i.migration_id = p_migration and i.nth = item.nth returning * into last;
    if cause is not null then
      update provider_events e set attempts = e.attempts + 1, last_error = left(cause, 1000), status = case last.status when 'dead' then 'dead' else 'failed' end, next_attempt_at = last.next_attempt_at
       where e.id = last.item::uuid;
    end if;
    worked := worked + 1;
    done := done + (last.status in ('done', 'held'))::integer;
    held := held + (last.status = 'held')::integer;
    errors := errors + case when last.status in ('failed', 'dead') then (last.attempts = 1)::integer when last.attempts > 1 then -1 else 0 end;
    exit when alone;
  end loop;
  update data_migrations m set updated_at = clock_timestamp(), processed_count = m.processed_count + done, error_count = m.error_count + errors,
         checkpoint = case when worked > 0 then jsonb_build_object('nth', last.nth::text, 'event', last.item) else m.checkpoint end where m.id = p_migration returning * into job;
  if not exists (select from data_migration_items i where i.migration_id = p_migration and i.status in ('pending', 'failed')) then
    update data_migrations m set completed_at = clock_timestamp(), updated_at = clock_timestamp(), status = case when m.error_count > 0 then 'failed' else 'completed' end,
           error = case when m.error_count > 0 then m.error_count || ' of ' || m.total_count || ' events are dead.' end
     where m.id = p_migration returning * into job;
  end if;
  return migration_json(job) || jsonb_build_object('idle', job.status <> 'running' or worked < wanted and not alone, 'held', held);
end $$;
comment on function backfill_steps(text, integer) is
  'Applies so many due events of a backfill in one commit, each in a subtransaction of its own with its result, as backfill_step does with one; a payment is alone in its commit. idle: nothing is due now; held counts those that were set aside. Raises RK050, RK053.';

insert into job_heartbeats (job, interval_s) values ('process', 60), ('match', 86400);

grant execute on function process_events(jsonb), process_due_events(integer), payment_backlog(), waiting_payouts(integer), settle_payout(text, uuid, text, jsonb), settle_deposit(text, uuid, text, jsonb),
  mockpsp(text, text, jsonb, text), backfill_steps(text, integer) to kernel_jobs;

grant execute on function cancel_withdrawal(uuid, uuid) to kernel_money;
