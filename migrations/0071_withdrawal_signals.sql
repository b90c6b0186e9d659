-- What the rollback triggers of docs/rollout.md are measured against: refused withdrawals of a week, and balances that do not match.

create index idempotency_keys_without_funds on idempotency_keys (created_at) where verb = 'withdraw' and answer ->> 'code' = 'INSUFFICIENT_FUNDS';

create index reconciliation_findings_mismatches on reconciliation_findings (seen_at) where finding_type = 'ledger_balance_mismatch';

create index withdrawals_recent on withdrawals using brin (created_at);

create function withdrawal_signals() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    -- the hour that runs is what is compared, so it is no part of what it is compared with
    'insufficient_funds_hourly', (select round(count(*) / 168.0, 4)::text from idempotency_keys k
      where k.verb = 'withdraw' and k.answer ->> 'code' = 'INSUFFICIENT_FUNDS'
        and k.created_at > clock_timestamp() - interval '169 hours' and k.created_at <= clock_timestamp() - interval '1 hour'),
    'withdrawals_1h', (select count(*)::text from withdrawals w where w.created_at > clock_timestamp() - interval '1 hour'),
    'mismatches_1h', m.n::text, 'largest_mismatch', m.largest::text)
    from (select count(*) n, coalesce(max(abs((f.raw ->> 'legacy')::numeric - coalesce((f.raw ->> 'ledger')::numeric, 0))), 0) largest
            from reconciliation_findings f where f.finding_type = 'ledger_balance_mismatch' and f.seen_at > clock_timestamp() - interval '1 hour') m
$$;
comment on function withdrawal_signals() is
  'For the rollback triggers: withdrawals refused for want of funds, as the hourly mean of a week; of the last hour the withdrawals, and those at which legacy balance and ledger differed, with the largest difference in minor units.';

grant execute on function withdrawal_signals() to kernel_jobs;
