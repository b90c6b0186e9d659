-- Payouts: each try is a row with one key at the provider, written before the provider is called and settled after it; a call
-- that died in between is taken up by the same key. Then what finance may do with a withdrawal, and the mock provider's book.

create table payout_attempts (
  id                uuid primary key,
  withdraw_tx_id    uuid not null references withdrawals,
  tenant_id         text not null,
  attempt_no        integer not null,
  provider          text not null,
  provider_ref      text,
  provider_event_id text,
  idempotency_key   text not null,
  status            text not null check (status in ('pending', 'unknown', 'succeeded', 'failed')),
  error_code        text,
  reason            text,
  created_by        text not null,
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp(),
  unique (withdraw_tx_id, idempotency_key)
);
create unique index payout_attempts_once_an_event on payout_attempts (provider, provider_event_id) where provider_event_id is not null;
create unique index payout_attempts_one_open on payout_attempts (withdraw_tx_id) where status in ('pending', 'unknown');
create index payout_attempts_waiting on payout_attempts (created_at) where status in ('pending', 'unknown');
comment on table payout_attempts is 'Tries to pay a withdrawal, at most one of them undecided. unknown: the provider was asked and has not said what became of it. Provider manual: a person paid.';

create trigger payout_attempts_fixed before update of id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, created_by, created_at on payout_attempts
  for each statement execute function append_only();

create trigger payout_attempts_no_delete before delete or truncate on payout_attempts for each statement execute function append_only();

create table psp_events (
  provider          text not null,
  action            text not null check (action in ('authorize_deposit', 'capture_deposit', 'payout_withdrawal', 'refund_deposit')),
  psp_idem_key      text not null,
  tx_id             uuid not null,
  tenant_id         text not null,
  player_id         uuid not null,
  amount            bigint not null,
  currency          text not null,
  status            text not null check (status in ('PENDING', 'AUTHORIZED', 'CAPTURED', 'PAID', 'REVERSED', 'FAILED')),
  provider_ref      text not null,
  provider_event_id text not null,
  occurred_at       timestamptz not null default clock_timestamp(),
  primary key (provider, action, psp_idem_key)
);
create index psp_events_by_time on psp_events (provider, occurred_at);
comment on table psp_events is 'The book of the mock provider: each order once by (action, key), whose first result is final. It stands outside the ledger, as a real provider''s book does.';

create trigger psp_events_no_delete before delete or truncate on psp_events for each statement execute function append_only();

create function psp_events_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was where status <> 'PENDING') then
    raise exception 'The first result of a provider is final.' using errcode = 'RK044';
  end if;
  return null;
end $$;
comment on function psp_events_guard() is 'Statement trigger: only an undecided order of the mock provider changes. Raises RK044.';

create trigger psp_events_decided_once after update on psp_events referencing old table as was for each statement execute function psp_events_guard();

create function mockpsp(p_action text, p_key text, p_order jsonb, p_outcome text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  asked   text := case when flag_on('allow_test_payment_methods', p_order ->> 'tenant_id', p_order ->> 'player_id') then lower(p_outcome) end;
  success text := case p_action when 'authorize_deposit' then 'AUTHORIZED' when 'capture_deposit' then 'CAPTURED' when 'payout_withdrawal' then 'PAID' else 'REVERSED' end;
  decided text := case when asked in ('fail', 'failed') then 'FAILED' when asked in ('timeout', 'pending') then 'PENDING' else success end;
  tx      text := p_order ->> 'tx_id';
  event   psp_events;
begin
  insert into psp_events (provider, action, psp_idem_key, tx_id, tenant_id, player_id, amount, currency, status, provider_ref, provider_event_id)
  values ('mockpsp', p_action, p_key, tx::uuid, p_order ->> 'tenant_id', (p_order ->> 'player_id')::uuid, minor_units(p_order -> 'amount_minor'), p_order ->> 'currency',
          decided, 'mockpsp:' || tx, p_action || ':' || tx || ':' || left(encode(sha256(convert_to(p_key, 'UTF8')), 'hex'), 8))
  on conflict (provider, action, psp_idem_key) do update set status = excluded.status, occurred_at = clock_timestamp() where psp_events.status = 'PENDING'
  returning * into event;
  if event.provider is null then
    select * into strict event from psp_events e where e.provider = 'mockpsp' and e.action = p_action and e.psp_idem_key = p_key;
  end if;
  return jsonb_build_object('provider', 'mockpsp', 'status', event.status, 'provider_ref', event.provider_ref, 'provider_event_id', event.provider_event_id,
    'amount_minor', event.amount::text, 'currency', event.currency, 'occurred_at', utc_text(event.occurred_at));
end $$;
comment on function mockpsp(text, text, jsonb, text) is
  'The mock payment provider: an order {tx_id, tenant_id, player_id, amount_minor, currency} under a key. It succeeds, or where test methods are allowed does what p_outcome asks: success, fail, or timeout, which stays undecided until it is asked again. The first result is final.';

create table reconciliation_findings (
  id                uuid primary key default gen_random_uuid(),
  created_at        timestamptz not null default clock_timestamp(),
  updated_at        timestamptz not null default clock_timestamp(),
  provider          varchar(64) not null,
  tenant_id         text,
  player_id         uuid,
  tx_id             uuid,
  provider_event_id varchar(128),
  provider_ref      varchar(128),
  finding_type      varchar(64) not null,
  severity          varchar(16) not null check (severity in ('INFO', 'WARN', 'MEDIUM', 'HIGH', 'ERROR', 'CRITICAL')),
  status            varchar(16) not null default 'OPEN' check (status in ('OPEN', 'RESOLVED')),
  reopened_count    integer not null default 0,
  message           text not null,
  raw               jsonb not null default '{}',
  constraint uq_recon_provider_event_type unique (provider, provider_event_id, finding_type)
);
create index reconciliation_findings_by_tenant on reconciliation_findings (tenant_id, created_at desc, id desc);
comment on table reconciliation_findings is 'What does not agree between provider, ledger and withdrawals, each once by (provider, event, type); one that is found again after it was resolved is open again.';

create function record_finding(p_provider text, p_tenant text, p_player uuid, p_tx uuid, p_raw jsonb, p_type text, p_severity text, p_message text) returns uuid
language sql volatile set search_path = pg_catalog, public as $$
  insert into reconciliation_findings as f (provider, tenant_id, player_id, tx_id, provider_event_id, provider_ref, finding_type, severity, message, raw)
  values (p_provider, p_tenant, p_player, p_tx, p_raw ->> 'provider_event_id', p_raw ->> 'provider_ref', p_type, p_severity, p_message, p_raw)
  on conflict (provider, provider_event_id, finding_type) do update set updated_at = clock_timestamp(), status = 'OPEN',
    reopened_count = f.reopened_count + case f.status when 'RESOLVED' then 1 else 0 end
  returning f.id
$$;
comment on function record_finding(text, text, uuid, uuid, jsonb, text, text, text) is 'Writes a finding down, once by (provider, p_raw.provider_event_id, type); a resolved one is opened again.';

create function attempt_row(a payout_attempts) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', a.id, 'attempt_no', a.attempt_no, 'provider', a.provider, 'provider_ref', a.provider_ref, 'provider_event_id', a.provider_event_id,
    'idempotency_key', a.idempotency_key, 'status', a.status, 'error_code', a.error_code, 'reason', a.reason, 'created_by', a.created_by,
    'created_at', utc_text(a.created_at), 'updated_at', utc_text(a.updated_at))
$$;
comment on function attempt_row(payout_attempts) is 'A payout attempt as answers show it.';

create function mark_paid(p_tx withdrawals, p_actor text, p_body jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  manual jsonb := jsonb_build_object('provider', 'manual', 'provider_event_id', 'manual:' || p_tx.id, 'reason', p_body ->> 'reason');
  answer jsonb;
begin
  if btrim(coalesce(p_body ->> 'reason', '')) = '' then return declined('REASON_REQUIRED');
  elsif p_actor = p_tx.player_id::text then return declined('FOUR_EYES');
  elsif p_tx.state = 'paid' then
    return jsonb_build_object('outcome', 'done', 'tx_id', p_tx.id, 'changed', false, 'transaction', withdrawal_row(p_tx));
  elsif p_tx.state <> 'approved' then
    return declined('ILLEGAL_TRANSACTION_STATE_TRANSITION', jsonb_build_object('from_state', p_tx.state, 'to_state', 'paid', 'tx_type', 'withdrawal'));
  end if;
  answer := pay_withdrawal(p_tx, p_actor, manual);
  if answer ->> 'outcome' = 'done' then
    insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, provider_event_id, idempotency_key, status, reason, created_by)
    values (derived_uuid('payout|' || p_tx.id || '|manual'), p_tx.id, p_tx.tenant_id, 1, 'manual', 'manual:' || p_tx.id, 'manual', 'succeeded', p_body ->> 'reason', p_actor);
    answer := answer || '{"changed": true}';
  end if;
  return answer;
end $$;
comment on function mark_paid(withdrawals, text, jsonb) is 'A person has paid an approved withdrawal, whose row the caller has locked: {reason}.';

create function begin_payout(p_tx withdrawals, p_actor text, p_key text, p_verb text, p_body jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  policy money_policies := money_policy(p_tx.tenant_id);
  tries  integer;
  failed timestamptz;
  wait_s integer;
  key    text;
  made   payout_attempts;
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
  end if;
  insert into payout_attempts (id, withdraw_tx_id, tenant_id, attempt_no, provider, idempotency_key, status, reason, created_by)
  values (derived_uuid('payout|' || p_tx.id || '|' || key), p_tx.id, p_tx.tenant_id, tries + 1, 'mockpsp', key, 'pending', p_body ->> 'reason', p_actor) returning * into made;
  update withdrawals w set state = 'payout_pending', updated_at = clock_timestamp() where w.id = p_tx.id;
  perform audit(p_actor, 'FIN_WITHDRAW_PAYOUT_STARTED', 'withdrawal', p_tx.id::text, null, jsonb_build_object('attempt_id', made.id, 'attempt_no', made.attempt_no, 'reason', made.reason));
  return jsonb_build_object('outcome', 'done', 'tx_id', p_tx.id, 'attempt_id', made.id);
end $$;
comment on function begin_payout(withdrawals, text, text, text, jsonb) is
  'First step of a payout, or of a retry with {reason}, of a withdrawal whose row the caller has locked: writes the attempt down. One key is one attempt, whoever brings it. A retry waits for the cooldown, and the retries are limited.';

create function act_on_withdrawal(p_tenant text, p_actor text, p_key text, p_verb text, p_tx uuid, p_body jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  scope  text := 'finance:' || p_actor;
  body   jsonb := p_body || jsonb_build_object('tx_id', p_tx);
  call   record;
  w      withdrawals;
  answer jsonb;
begin
  if p_key is not null then
    call := begin_call(p_tenant, scope, p_key, p_verb, body);
    if call.answer is not null then return call.answer; end if;
  end if;
  select * into w from withdrawals x where x.id = p_tx and x.tenant_id = p_tenant for no key update;
  if w.id is null then return declined('TX_NOT_FOUND'); end if;
  answer := case p_verb
    when 'review' then review_withdrawal(w, p_actor, p_body)
    when 'mark_paid' then mark_paid(w, p_actor, p_body)
    when 'recheck' then case when w.state in ('payout_pending', 'unknown', 'payout_failed')
      then jsonb_build_object('outcome', 'done', 'tx_id', w.id, 'attempt_id',
             (select a.id from payout_attempts a where a.withdraw_tx_id = w.id order by a.attempt_no desc limit 1))
      else declined('INVALID_STATE_TRANSITION', jsonb_build_object('from_state', w.state, 'tx_type', 'withdrawal')) end
    else begin_payout(w, p_actor, p_key, p_verb, p_body) end;
  if p_key is null or answer ->> 'code' = 'PAYMENT_COOLDOWN_ACTIVE' then return answer; end if; -- what time alone changes is not pinned
  return end_call(p_tenant, scope, p_key, p_verb, call.id, call.hash, answer);
end $$;
comment on function act_on_withdrawal(text, text, text, text, uuid, jsonb) is
  'What finance does with a withdrawal of its tenant: review, mark_paid, payout, retry, recheck; the last three name the attempt to take to the provider. A key is optional where the state already makes a repetition harmless. Raises RK001, RK030.';

create function settle_payout(p_tenant text, p_attempt uuid, p_status text, p_result jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  tried  payout_attempts;
  w      withdrawals;
  result jsonb := p_result;
  paid   jsonb;
begin
  select x.* into w from withdrawals x join payout_attempts a on a.withdraw_tx_id = x.id where a.id = p_attempt and x.tenant_id = p_tenant for no key update of x;
  if w.id is null then return declined('TX_NOT_FOUND'); end if;
  select * into tried from payout_attempts a where a.id = p_attempt; -- after the lock, or it may be as old as the wait
  result := result || jsonb_build_object('provider', tried.provider, 'attempt_id', tried.id);
  if p_status = 'PAID' and tried.status <> 'succeeded' then
    if w.state in ('payout_pending', 'unknown', 'payout_failed') then
      paid := pay_withdrawal(w, tried.created_by, result);
      if paid ->> 'outcome' <> 'done' then return paid; end if;
    else
      perform record_finding(tried.provider, w.tenant_id, w.player_id, w.id, result, case w.state when 'paid' then 'duplicate_payout' else 'paid_after_rejection' end, 'CRITICAL',
        'The provider paid a withdrawal that was ' || w.state || ' already; nothing was debited for it.');
    end if;
  elsif p_status = 'FAILED' and tried.status = 'succeeded' then
    perform record_finding(tried.provider, w.tenant_id, w.player_id, w.id, result, 'failed_after_payment', 'ERROR', 'The provider says that a payout failed which it had confirmed.');
  elsif tried.status in ('pending', 'unknown') and w.state in ('payout_pending', 'unknown') then
    update withdrawals x set state = case p_status when 'FAILED' then 'payout_failed' else 'unknown' end, updated_at = clock_timestamp() where x.id = w.id;
  end if;
  update payout_attempts a set updated_at = clock_timestamp(), provider_ref = coalesce(p_result ->> 'provider_ref', a.provider_ref),
         provider_event_id = coalesce(p_result ->> 'provider_event_id', a.provider_event_id),
         status = case p_status when 'PAID' then 'succeeded' when 'FAILED' then 'failed' else 'unknown' end,
         error_code = case when p_status = 'FAILED' then coalesce(p_result ->> 'error_code', 'PSP_PAYOUT_FAILED') when p_status <> 'PAID' then 'PSP_TIMEOUT' end
   where a.id = tried.id and (p_status = 'PAID' or a.status in ('pending', 'unknown')) and a.status <> 'succeeded';
  if found then perform audit(tried.created_by, 'FIN_WITHDRAW_PAYOUT_' || p_status, 'withdrawal', w.id::text, null, result); end if;
  return jsonb_build_object('outcome', 'done', 'tx_id', w.id);
end $$;
comment on function settle_payout(text, uuid, text, jsonb) is
  'What a provider said of an attempt: PAID, FAILED or UNKNOWN, with {provider_ref, provider_event_id, error_code?}; from a call, a webhook or a recheck, in any order and any number of times. The debit happens once; a success that comes too late is a finding.';

select secure_table('payout_attempts', false), secure_table('psp_events', false), secure_table('reconciliation_findings', false);

create policy reads on payout_attempts for select to authenticated using (tenant_id = staff_tenant());

create policy reads on reconciliation_findings for select to authenticated using (tenant_id = staff_tenant());

grant select on payout_attempts, reconciliation_findings to authenticated;

grant execute on function attempt_row(payout_attempts) to authenticated, service_role;

grant execute on function act_on_withdrawal(text, text, text, text, uuid, jsonb), settle_payout(text, uuid, text, jsonb), mockpsp(text, text, jsonb, text) to kernel_money;
