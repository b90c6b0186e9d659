-- The seals of frozen months are proved again and again: a byte that changes later is noticed by the kernel, not in a dispute.

create table seal_checks (
  site_id    uuid not null,
  year_month text not null,
  checked_at timestamptz not null default clock_timestamp(),
  ok         boolean not null,
  since      timestamptz check (ok = (since is null)),
  proof      jsonb not null,
  primary key (site_id, year_month)
);
comment on table seal_checks is 'The last proof of each sealed month; since: when it first failed; proof: {hash_ok, ledger_ok, seal_ok, changed_days} as verify_invoice says them.';
create index seal_checks_broken on seal_checks (year_month) where not ok;

create function seals_to_check(p_days integer, p_limit integer) returns table (site_id uuid, year_month text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select s.site_id, s.year_month
    from invoice_seals s left join seal_checks c on c.site_id = s.site_id and c.year_month = s.year_month
   where not exists (select from ledger_archives a where a.site_id = s.site_id and a.year_month = s.year_month)
     and (not c.ok or coalesce(c.checked_at, s.sealed_at) < clock_timestamp() - make_interval(days => p_days))
   order by coalesce(c.ok, true), coalesce(c.checked_at, s.sealed_at), s.site_id, s.year_month limit least(greatest(p_limit, 1), 1000)
$$;
comment on function seals_to_check(integer, integer) is
  'Sealed months to be proved again: those whose last proof failed, then those not proved for p_days, the longest first. An archived month is judged by its archive.';

create function check_seal(p_site uuid, p_month text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  proof jsonb := '{"hash_ok": false, "ledger_ok": false, "seal_ok": false, "changed_days": null}'; -- of an invoice that is gone
  good boolean;
begin
  if exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = p_month) then
    select jsonb_build_object('hash_ok', v -> 'hash_ok', 'ledger_ok', v -> 'ledger_ok', 'seal_ok', v -> 'seal_ok', 'changed_days', v -> 'changed_days')
      into proof from verify_invoice(p_site, p_month) v;
  end if;
  good := (proof ->> 'hash_ok')::boolean and (proof ->> 'ledger_ok')::boolean and (proof ->> 'seal_ok')::boolean;
  insert into seal_checks as c (site_id, year_month, checked_at, ok, since, proof)
  values (p_site, p_month, clock_timestamp(), good, case when not good then clock_timestamp() end, proof)
  on conflict (site_id, year_month) do update
    set checked_at = excluded.checked_at, ok = excluded.ok, proof = excluded.proof,
        since = case when not excluded.ok then coalesce(c.since, excluded.since) end;
  return proof || jsonb_build_object('ok', good);
end $$;
comment on function check_seal(uuid, text) is
  'Proves a sealed month from the ledger and keeps the answer: {ok, hash_ok, ledger_ok, seal_ok, changed_days}. A sealed month whose invoice is gone is not ok.';

create or replace function watchtower_checks() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object(
    'now', utc_text(clock_timestamp()),
    'publish_failures_15m', (select count(*)::text from ingest_publish_failures f where f.created_at > clock_timestamp() - interval '15 minutes'),
    'outbox', (select jsonb_build_object('waiting', (count(*) filter (where o.status <> 'FAILED'))::text, 'failed', (count(*) filter (where o.status = 'FAILED'))::text,
                 'oldest_s', coalesce(ceil(extract(epoch from clock_timestamp() - min(o.created_at) filter (where o.status <> 'FAILED'))), 0)::text) from ingest_fallback_buffer o),
    'reconciliation', reconciliation_summary(),
    'undelivered', (select coalesce(sum((j.last_result ->> 'undelivered')::bigint), 0)::text from billing_reconciliation_jobs j where j.updated_at > clock_timestamp() - interval '2 hours'),
    'ledgerless', (select coalesce(sum((j.last_result ->> 'ledgerless')::bigint), 0)::text from billing_reconciliation_jobs j where j.updated_at > clock_timestamp() - interval '2 hours'),
    'unfrozen', (select jsonb_build_object('count', count(*)::text, 'first', min(u.year_month || ' ' || u.site_id)) from site_usage_monthly u
                  where month_start(u.year_month) + interval '1 month' + interval '6 hours' < clock_timestamp()
                    and not exists (select from invoice_snapshot i where i.site_id = u.site_id and i.year_month = u.year_month)),
    'seals', (select jsonb_build_object('broken', count(*)::text, 'first', min(c.year_month || ' ' || c.site_id)) from seal_checks c where not c.ok),
    'exports', (select jsonb_build_object('dead', count(*)::text) from dispute_exports x where x.status = 'DEAD'),
    'ingest', (select jsonb_build_object('last_at', utc_text(max(t.at)), 'age_s', ceil(extract(epoch from clock_timestamp() - max(t.at)))::text) from (
                 (select e.received_at as at from (select * from events order by id desc limit 1000) e join sites s on s.id = e.site_id and not s.synthetic order by e.id desc limit 1)
                 union all
                 (select o.created_at from (select * from ingest_fallback_buffer order by id desc limit 1000) o join sites s on s.id = o.site_id and not s.synthetic order by o.id desc limit 1)) t),
    'money', money_checks(),
    'heartbeats', heartbeats())
$$;

select secure_table('seal_checks', false);

grant execute on function seals_to_check(integer, integer), check_seal(uuid, text) to kernel_jobs;
