-- What must agree between withdrawals, deposits, payouts and the ledger, as findings of a daily job; and every invariant of money
-- at one question, online and without writing.

create function wallet_invariant_breaks() returns table (finding_type text, severity text, tenant_id text, player_id uuid, tx_id uuid, provider_event_id text, message text)
language sql stable security definer set search_path = pg_catalog, public set jit = off as $$
  with paid as materialized (
    select t.tenant_id, t.reference, count(*) n, min(t.id::text) first from transfers t where t.kind = 'withdraw_paid' group by t.tenant_id, t.reference
  )
  select 'LEDGER_MISSING_WITHDRAW_PAID', 'CRITICAL', w.tenant_id, w.player_id, w.id, w.provider_event_id, 'A paid withdrawal has no debit in the ledger.'
    from withdrawals w where w.state = 'paid' and w.hold_id is not null and not exists (select from paid p where p.tenant_id = w.tenant_id and p.reference = w.id::text)
  union all
  select 'LEDGER_DUPLICATE_WITHDRAW_PAID', 'CRITICAL', p.tenant_id, w.player_id, w.id, w.provider_event_id, 'A withdrawal was debited ' || p.n || ' times.'
    from paid p left join withdrawals w on w.id::text = p.reference and w.tenant_id = p.tenant_id where p.n > 1
  union all
  select 'LEDGER_PRESENT_BUT_TX_NOT_PAID', 'CRITICAL', p.tenant_id, w.player_id, w.id, coalesce(w.provider_event_id, p.first), 'The ledger holds the debit of a withdrawal that is ' || coalesce(w.state, 'unknown') || '.'
    from paid p left join withdrawals w on w.id::text = p.reference and w.tenant_id = p.tenant_id where w.state is distinct from 'paid'
  union all
  select 'PAYOUT_ATTEMPT_MISSING_FOR_PAID', 'HIGH', w.tenant_id, w.player_id, w.id, w.provider_event_id, 'A paid withdrawal has no payout that succeeded.'
    from withdrawals w where w.state = 'paid' and not exists (select from payout_attempts a where a.withdraw_tx_id = w.id and a.status = 'succeeded')
  union all
  select 'PAYOUT_ATTEMPT_DUPLICATE_PROVIDER_EVENT', 'HIGH', min(a.tenant_id), null, min(a.withdraw_tx_id::text)::uuid, a.provider_event_id, 'One event of a provider belongs to ' || count(*) || ' payouts.'
    from payout_attempts a where a.provider_event_id is not null group by a.provider, a.provider_event_id having count(*) > 1
  union all
  select 'LEDGER_MISSING_DEPOSIT_CAPTURED', 'MEDIUM', d.tenant_id, d.player_id, d.id, d.provider_event_id, 'A completed deposit has no credit in the ledger.'
    from deposits d where d.state = 'completed' and coalesce((d.flags ->> 'ledger_enforce_balance')::boolean or (d.flags ->> 'ledger_shadow_write')::boolean, true)
     and not exists (select from transfers t where t.id = derived_uuid('key|' || d.tenant_id || '|deposit|tx_' || d.id || ':capture'))
$$;
comment on function wallet_invariant_breaks() is 'Where withdrawals, deposits and payouts do not agree with the ledger, in one snapshot; reads only.';

create function wallet_invariants() returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  found_ jsonb;
begin
  perform require_flag('reconciliation_enabled');
  with broken as materialized (select * from wallet_invariant_breaks()),
  written as (
    select record_finding('wallet_ledger', b.tenant_id, b.player_id, b.tx_id,
      jsonb_build_object('provider_event_id', left(coalesce(b.tx_id::text, b.provider_event_id), 128), 'event', b.provider_event_id), b.finding_type, b.severity, b.message) id from broken b
  )
  select jsonb_build_object('findings', (select count(*) from written)::text, 'types', (select coalesce(jsonb_object_agg(t.finding_type, t.n), '{}')
    from (select b.finding_type, count(*)::text n from broken b group by 1) t)) into found_;
  return found_;
end $$;
comment on function wallet_invariants() is 'The daily check: writes a finding for each break, of provider wallet_ledger, once; one that was resolved and is found again is opened again. Raises RK050.';

create function money_doctor() returns table (invariant text, violations bigint)
language sql stable security definer set search_path = pg_catalog, public as $$
  with wallets as materialized (
    select f.drift from (select array_agg(distinct a.owner_id) owners from accounts a where a.owner_id is not null) o cross join lateral account_facts(o.owners) f
  )
  select c.invariant, case when c.invariant = 'versions have no gap and balances follow' -- what a repair explains stays in the entries for ever, and is well
    then (select count(*) from wallets w where w.drift && array['entries', 'chain']) else c.violations end from check_money() c
  union all select 'a wallet agrees with its entries, holds and lots', count(*) from wallets w where w.drift <> '{}'
  union all select 'a reconciliation report is as it was written', count(*) from broken_reports()
  union all select f.finding_type, (select count(*) from wallet_invariant_breaks() b where b.finding_type = f.finding_type)
    from unnest(array['LEDGER_MISSING_WITHDRAW_PAID', 'LEDGER_DUPLICATE_WITHDRAW_PAID', 'LEDGER_PRESENT_BUT_TX_NOT_PAID', 'PAYOUT_ATTEMPT_MISSING_FOR_PAID',
      'PAYOUT_ATTEMPT_DUPLICATE_PROVIDER_EVENT', 'LEDGER_MISSING_DEPOSIT_CAPTURED']) f (finding_type)
$$;
comment on function money_doctor() is 'Every invariant of money with the number of its violations, while money moves; reads only.';

grant execute on function wallet_invariants() to kernel_jobs;

grant execute on function money_doctor() to kernel_jobs, kernel_api;
