-- What the watchtower asks of payments, beside what it asks of money.

create or replace function money_checks() returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    'open_findings', (select coalesce(jsonb_object_agg(s.severity, s.n), '{}') from (select f.severity, count(*)::text n from reconciliation_findings f where f.status = 'OPEN' group by 1) s),
    'wallet_errors', coalesce((select r.stats_json ->> 'errors' from reconciliation_runs r where r.provider = 'wallet_ledger' and r.status = 'completed' order by r.created_at desc limit 1), '0'),
    'unknown_payouts', (select count(*)::text from payout_attempts a
      where a.status in ('pending', 'unknown') and a.status = 'unknown' and a.created_at < clock_timestamp() - interval '15 minutes'),
    'stuck_payouts', (select count(*)::text from withdrawals w where w.state = 'payout_pending' and w.updated_at < clock_timestamp() - interval '1 hour'),
    -- an event that was applied since, and a wallet that a later backfill of its tenant went over, is no news any more
    'dead_backfill_items', (select count(distinct i.item)::text from data_migration_items i join data_migrations m on m.id = i.migration_id
      where i.status = 'dead' and case m.type when 'wallet_snapshots'
        then not exists (select from data_migrations l where l.type = m.type and l.metadata ->> 'tenant_id' = m.metadata ->> 'tenant_id' and l.created_at > m.created_at and l.completed_at is not null)
        else exists (select from provider_events e where e.id = i.item::uuid and e.status = 'dead') end),
    'payment_events', payment_backlog(),
    'incomplete_runs', (select count(*)::text from (select distinct on (r.provider) r.status from reconciliation_runs r
      where r.provider <> 'wallet_ledger' and r.created_at > clock_timestamp() - interval '3 days' and not r.dry_run and r.status in ('completed', 'incomplete', 'failed') order by r.provider, r.created_at desc) last
      where last.status <> 'completed'))
$$;
comment on function money_checks() is 'What the watchtower asks of money: open findings by severity, wallets that the last run could not heal, payouts without an answer, what a backfill gave up, events of providers that wait or are dead, providers whose last reconciliation came to no end. Called by watchtower_checks only.';
