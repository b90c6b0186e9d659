-- Payments, sixth part: what a provider says it moved, against what the ledger moved for it. The list of a window is taken page by
-- page; only a complete one is compared, and every difference is one finding, however often it is seen.

create table provider_feed (
  run_id      uuid not null references reconciliation_runs,
  nth         bigint not null,
  occurred_at timestamptz not null,
  tx_id       uuid,
  player_id   uuid,
  amount      bigint not null,
  kind        text not null,
  currency    text not null,
  event_id    text not null,
  ref         text,
  provider_ref text,
  tenant_id   text,
  primary key (run_id, nth)
);
create index provider_feed_by_tx on provider_feed (run_id, tx_id, kind);

create unique index provider_feed_once on provider_feed (run_id, event_id, kind, tx_id, ref) nulls not distinct;

comment on table provider_feed is 'What a provider listed for a run, a row a payment; taken again when a run starts anew, and kept as the evidence of the last one for 90 days.';

-- a key is its tenant's own: nobody takes that of another, or of the nightly run
drop index reconciliation_runs_once;

create unique index reconciliation_runs_once on reconciliation_runs (provider, tenant_id, idempotency_key) nulls not distinct where idempotency_key is not null;

create function request_run(p_provider text, p_tenant text, p_from timestamptz, p_to timestamptz, p_dry_run boolean, p_key text, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  run reconciliation_runs;
begin
  if not exists (select from payment_providers p where p.provider = p_provider and p.can_list) then return declined('UNSUPPORTED_PROVIDER', '{"sentence": "There is no such provider that can be reconciled."}'); end if;
  if (p_from < p_to and p_to - p_from <= interval '31 days') is not true then
    raise exception 'The window begins before it ends, and is at most 31 days long.' using errcode = 'RK015';
  end if;
  insert into reconciliation_runs (provider, tenant_id, window_start, window_end, dry_run, idempotency_key, requested_by) values (p_provider, p_tenant, p_from, p_to, p_dry_run, p_key, p_by)
  on conflict (provider, tenant_id, idempotency_key) where idempotency_key is not null do nothing returning * into run;
  if run.id is null then
    select * into run from reconciliation_runs r where r.provider = p_provider and r.tenant_id is not distinct from p_tenant and r.idempotency_key = p_key;
    if (run.window_start, run.window_end, run.dry_run) is distinct from (p_from, p_to, p_dry_run) then return declined('IDEMPOTENCY_CONFLICT', '{"sentence": "This key was used with another run."}'); end if;
    return jsonb_build_object('outcome', 'done', 'run', provider_run(run), 'replayed', true);
  end if;
  return jsonb_build_object('outcome', 'done', 'run', provider_run(run));
end $$;
comment on function request_run(text, text, timestamptz, timestamptz, boolean, text, text) is
  'Asks for a run over the window [from, to); a key names it, and brings the same run again. Nothing is compared yet. Raises RK015.';

create function provider_run(r reconciliation_runs) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', r.id, 'provider', r.provider, 'tenant_id', r.tenant_id, 'status', r.status, 'window_start', utc_text(r.window_start), 'window_end', utc_text(r.window_end),
    'dry_run', r.dry_run, 'idempotency_key', r.idempotency_key, 'requested_by', r.requested_by, 'stats', r.stats_json, 'error', r.error_json, 'created_at', utc_text(r.created_at), 'updated_at', utc_text(r.updated_at))
$$;
comment on function provider_run(reconciliation_runs) is 'A run as answers show it.';

create function claim_run(p_run uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  run reconciliation_runs;
begin
  loop
    update reconciliation_runs r set status = 'running', lease_until = clock_timestamp() + interval '2 minutes', page = r.page + 1, updated_at = clock_timestamp()
     where r.id = (select x.id from reconciliation_runs x where x.provider <> 'wallet_ledger' and (p_run is null or x.id = p_run)
                    and (x.status = 'queued' or x.status = 'running' and x.lease_until < clock_timestamp()) order by x.created_at limit 1 for update skip locked)
    returning * into run;
    if run.id is null then return null; end if;
    exit when run.page <= 5;
    update reconciliation_runs r set status = 'failed', error_json = '{"code": "ATTEMPTS", "message": "The run was begun five times and never came to its end."}', updated_at = clock_timestamp() where r.id = run.id;
  end loop; -- one that never ends holds back no other
  delete from provider_feed f where f.run_id = run.id;
  return provider_run(run) || jsonb_build_object('attempt', run.page);
end $$;
comment on function claim_run(uuid) is 'Takes a queued run, or one whose worker died, for two minutes; null: any. It begins anew, and is failed after five tries. Null when there is none.';

create function add_feed(p_run uuid, p_attempt integer, p_rows jsonb) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  run   reconciliation_runs;
  added bigint;
begin
  update reconciliation_runs r set lease_until = clock_timestamp() + interval '2 minutes', updated_at = clock_timestamp() where r.id = p_run and r.status = 'running' and r.page = p_attempt returning * into run;
  if run.id is null then raise exception 'The run is not this worker''s any more.' using errcode = 'RK052'; end if;
  insert into provider_feed (run_id, nth, occurred_at, tx_id, player_id, amount, kind, currency, event_id, ref, provider_ref, tenant_id)
  select p_run, coalesce((select max(f.nth) from provider_feed f where f.run_id = p_run), 0) + row_number() over (order by e.n, m.n), (e.row_ ->> 'occurred_at')::timestamptz,
         o.tx_id, o.player_id, minor_units(coalesce(m.member -> 'amount_minor', e.row_ -> 'amount_minor')), e.row_ ->> 'kind', e.row_ ->> 'currency',
         e.row_ ->> 'event_id' || case when m.n > 1 then ':' || m.n else '' end, e.row_ ->> 'ref', e.row_ ->> 'provider_ref', o.tenant_id
    from jsonb_array_elements(p_rows) with ordinality e (row_, n) left join lateral jsonb_array_elements(e.row_ -> 'members') with ordinality m (member, n) on true
         cross join lateral event_owner(run.provider, '', e.row_ || coalesce(m.member, '{}')) o
   where e.row_ ->> 'kind' is not null on conflict do nothing; -- a page whose reply was lost comes again
  get diagnostics added = row_count;
  return added;
end $$;
comment on function add_feed(uuid, integer, jsonb) is
  'Adds a page of a provider''s list to a run, each event once; one that names no transaction is that of the deposit with its provider_ref: {kind, event_id, tx_id, amount_minor, currency, occurred_at, ref?, provider_ref?, tenant_id?, player_id?, members?}; members: the payments of a payout that the provider paid in one sum. Raises RK052 (another worker has the run), RK030.';

create function signed_minor(p_kind text, p_amount bigint) returns numeric
language sql immutable parallel safe
return case when p_kind in ('deposit_captured', 'chargeback_won', 'refund_failed') then p_amount::numeric when p_kind in ('withdraw_paid', 'refund', 'chargeback') then - p_amount::numeric else 0 end;
comment on function signed_minor(text, bigint) is 'What a payment does to what the provider holds for the tenant: above zero when money came in.';

create function provider_facts(p_run reconciliation_runs) returns table (kind text, tx_id uuid, ref text, tenant_id text, player_id uuid, amount bigint, currency text, at timestamptz, event_id text, provider_ref text)
language sql stable set search_path = pg_catalog, public as $$
  select 'deposit_captured', d.id, null, d.tenant_id, d.player_id, d.amount, d.currency,
         coalesce((select t.created_at from transfers t where t.id = derived_uuid('key|' || d.tenant_id || '|deposit|tx_' || d.id || ':capture')), d.updated_at), d.provider_event_id, d.provider_ref
    from deposits d where d.provider = p_run.provider and d.state = 'completed' and (p_run.tenant_id is null or d.tenant_id = p_run.tenant_id)
  union all
  select 'withdraw_paid', w.id, null, w.tenant_id, w.player_id, w.amount, w.currency, w.paid_at, w.provider_event_id, w.provider_ref
    from withdrawals w where w.provider = p_run.provider and w.state = 'paid' and (p_run.tenant_id is null or w.tenant_id = p_run.tenant_id)
  union all
  select r.kind, d.id, r.ref, d.tenant_id, d.player_id, r.amount, d.currency, r.created_at, e.event_id, e.provider_ref
    from deposit_reversals r join deposits d on d.id = r.deposit_id join provider_events e on e.id = r.event where r.provider = p_run.provider and (p_run.tenant_id is null or d.tenant_id = p_run.tenant_id)
$$;
comment on function provider_facts(reconciliation_runs) is 'What the ledger has moved for a provider.';

create type provider_difference as (type text, severity text, tenant_id text, player_id uuid, tx_id uuid, event_id text, provider_ref text, message text, at timestamptz, provider jsonb, ledger jsonb);

create function match_feed(p_run reconciliation_runs) returns setof provider_difference
language sql stable set search_path = pg_catalog, public set jit = off as $$
  with told as materialized (
    select f.*, f.kind in ('deposit_captured', 'withdraw_paid', 'refund', 'refund_failed', 'chargeback', 'chargeback_won') moved,
           case f.kind when 'deposit_failed' then 'deposit_captured' when 'withdraw_failed' then 'withdraw_paid' else f.kind end about,
           f.occurred_at >= p_run.window_start and f.occurred_at < least(p_run.window_end, clock_timestamp() - make_interval(secs => (select p.grace_s from payment_providers p where p.provider = p_run.provider))) inside,
           r.name, row_number() over (partition by f.tx_id, f.kind, r.name order by f.occurred_at, f.nth) nth_of_its_kind
      from provider_feed f cross join lateral (select case when f.kind in ('deposit_captured', 'withdraw_paid') then '' else coalesce(f.ref, '') end name) r
     where f.run_id = p_run.id and (p_run.tenant_id is null or f.tenant_id = p_run.tenant_id)
  ), ours as materialized (
    select o.*, coalesce(o.ref, '') as name, o.at >= p_run.window_start and o.at < least(p_run.window_end, clock_timestamp() - make_interval(secs => (select p.grace_s from payment_providers p where p.provider = p_run.provider))) inside
      from provider_facts(p_run) o
     where o.at >= p_run.window_start and o.at < p_run.window_end or o.tx_id in (select t.tx_id from told t)
  ), joined as (
    select t, o, d.state deposit_state, w.state withdrawal_state, coalesce(d.amount, w.amount) asked_amount, coalesce(d.currency, w.currency) asked_currency, coalesce(t.tenant_id, d.tenant_id, w.tenant_id, o.tenant_id) tenant,
           coalesce(t.player_id, d.player_id, w.player_id, o.player_id) player,
           exists (select from told x where x.tx_id = o.tx_id and x.about = o.kind and not x.moved) denied
      from (select * from told x where x.moved) t
      full join ours o on o.tx_id = t.tx_id and o.kind = t.kind and o.name = t.name
      left join deposits d on d.id = t.tx_id and d.provider = p_run.provider
      left join withdrawals w on w.id = t.tx_id and w.tenant_id = coalesce(t.tenant_id, w.tenant_id)
  ), judged as (
    select j.*, case
        when (j.t).nth is not null and not (j.t).inside then null
        when (j.t).nth_of_its_kind > 1 and (j.t).tx_id is not null and (j.t).kind in ('deposit_captured', 'withdraw_paid') then 'duplicate'
        when (j.t).nth is null then case when not (j.o).inside then null when j.denied then 'status_mismatch' else 'missing_in_psp' end
        when (j.t).currency <> coalesce((j.o).currency, j.asked_currency) then 'currency_mismatch'
        when (j.t).amount <> coalesce((j.o).amount, case when (j.t).kind in ('deposit_captured', 'withdraw_paid') then j.asked_amount end) then 'amount_mismatch'
        when (j.o).tx_id is not null then null
        when j.deposit_state = 'failed' or j.withdrawal_state in ('rejected', 'canceled', 'payout_failed') then 'status_mismatch'
        else 'missing_in_ledger' end as type
      from joined j
  )
  select (j.type, case j.type when 'duplicate' then 'CRITICAL' when 'missing_in_psp' then 'WARN' when 'status_mismatch' then 'WARN' else 'ERROR' end, j.tenant, j.player, coalesce((j.t).tx_id, (j.o).tx_id),
          coalesce((j.t).event_id, (j.o).event_id, (j.o).kind || ':' || (j.o).tx_id), coalesce((j.t).provider_ref, (j.o).provider_ref),
          case j.type when 'duplicate' then 'The provider moved the money of one transaction more than once.'
                      when 'missing_in_ledger' then 'The provider moved money that the ledger has not.'
                      when 'missing_in_psp' then 'The ledger moved money for the provider that the provider does not list.'
                      when 'status_mismatch' then 'Provider and ledger do not agree on whether a payment happened.'
                      when 'currency_mismatch' then 'Provider and ledger name different currencies.'
                      else 'Provider and ledger name different amounts.' end,
          coalesce((j.t).occurred_at, (j.o).at),
          case when (j.t).nth is not null then jsonb_strip_nulls(jsonb_build_object('kind', (j.t).kind, 'amount_minor', (j.t).amount::text, 'currency', (j.t).currency, 'ref', (j.t).ref, 'occurred_at', utc_text((j.t).occurred_at))) end,
          case when (j.o).tx_id is not null then jsonb_strip_nulls(jsonb_build_object('kind', (j.o).kind, 'amount_minor', (j.o).amount::text, 'currency', (j.o).currency, 'at', utc_text((j.o).at)))
               when j.asked_amount is not null then jsonb_strip_nulls(jsonb_build_object('amount_minor', j.asked_amount::text, 'currency', j.asked_currency, 'state', coalesce(j.deposit_state, j.withdrawal_state))) end)::provider_difference
    from judged j where j.type is not null
$$;
comment on function match_feed(reconciliation_runs) is
  'Every difference between what a provider listed and what the ledger moved, each once. What lies in the margin around the window only explains; what is younger than the provider''s grace is not judged yet.';

create function feed_totals(p_run reconciliation_runs) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  with listed as materialized (
    select f.*, row_number() over (partition by f.tx_id, f.kind, f.ref order by f.occurred_at, f.nth) time
      from provider_feed f where f.run_id = p_run.id and (p_run.tenant_id is null or f.tenant_id = p_run.tenant_id)
  ), told as ( -- a refund that two events tell of was made once; a deposit or payout was not
    select l.* from listed l where l.occurred_at >= p_run.window_start and l.occurred_at < p_run.window_end and (l.time = 1 or l.kind in ('deposit_captured', 'withdraw_paid'))
  ), ours as (
    select o.* from provider_facts(p_run) o
     where exists (select from told t where t.tx_id = o.tx_id and t.kind = o.kind and (o.ref is null or t.ref = o.ref))
        or o.at >= p_run.window_start and o.at < p_run.window_end and not exists (select from listed l where l.tx_id = o.tx_id and l.kind = o.kind and (o.ref is null or l.ref = o.ref))
  ), sums as (
    select x.currency, coalesce(sum(x.told), 0) told, coalesce(sum(x.ours), 0) ours from (
      select t.currency, signed_minor(t.kind, t.amount) told, null::numeric ours from told t union all select o.currency, null, signed_minor(o.kind, o.amount) from ours o) x group by x.currency
  )
  select coalesce(jsonb_object_agg(s.currency, jsonb_build_object('provider_minor', s.told::text, 'ledger_minor', s.ours::text, 'drift_minor', (s.told - s.ours)::text)), '{}') from sums s
$$;
comment on function feed_totals(reconciliation_runs) is 'Of each currency what the provider moved in the window and what the ledger did, in minor units, payouts below zero; drift is the provider''s less the ledger''s.';

create function finish_run(p_run uuid, p_attempt integer, p_incomplete text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set lock_timeout = '5s' as $$
declare
  run    reconciliation_runs;
  found_ provider_difference[];
  one    provider_difference;
  before reconciliation_findings;
  types  jsonb;
  fresh  bigint := 0;
  again  bigint := 0;
  healed bigint := 0;
begin
  select * into run from reconciliation_runs r where r.id = p_run for update;
  if run.status is distinct from 'running' or run.page <> p_attempt then raise exception 'The run is not this worker''s any more.' using errcode = 'RK052'; end if;
  if p_incomplete is not null then
    update reconciliation_runs r set status = 'incomplete', updated_at = clock_timestamp(), stats_json = jsonb_build_object('complete', false, 'listed', (select count(*)::text from provider_feed f where f.run_id = run.id)),
           error_json = jsonb_build_object('code', 'FEED_INCOMPLETE', 'message', left(p_incomplete, 500)) where r.id = run.id returning * into run;
    return provider_run(run);
  end if;
  select array_agg(d) into found_ from match_feed(run) d;
  foreach one in array coalesce(found_, '{}') loop
    exit when run.dry_run;
    select * into before from reconciliation_findings f where f.provider = run.provider and f.provider_event_id = left(one.event_id, 128) and f.finding_type = one.type;
    perform record_finding(run.provider, one.tenant_id, one.player_id, one.tx_id, jsonb_build_object('provider_event_id', left(one.event_id, 128), 'provider_ref', one.provider_ref, 'run_id', run.id,
      'at', utc_text(one.at), 'provider', one.provider, 'ledger', one.ledger), one.type, one.severity, one.message);
    fresh := fresh + (before.id is null)::integer;
    again := again + (before.status = 'RESOLVED' and exists (select from reconciliation_findings f where f.id = before.id and f.status = 'OPEN'))::integer;
  end loop;
  if not run.dry_run then
    update reconciliation_findings f set status = 'RESOLVED', resolution = 'The two sides agree by now.', resolved_by = 'system:reconciliation', resolved_at = clock_timestamp(), updated_at = clock_timestamp()
     where f.provider = run.provider and f.status = 'OPEN' and f.run_id is distinct from run.id and f.finding_type in ('missing_in_ledger', 'missing_in_psp', 'amount_mismatch', 'currency_mismatch', 'status_mismatch')
       and (f.raw ->> 'at')::timestamptz >= run.window_start and (f.raw ->> 'at')::timestamptz < run.window_end and (run.tenant_id is null or f.tenant_id = run.tenant_id);
    get diagnostics healed = row_count;
  end if;
  select coalesce(jsonb_object_agg(x.type, x.n), '{}') into types from (select d.type, count(*)::text n from unnest(found_) d group by 1) x;
  update reconciliation_runs r set status = 'completed', updated_at = clock_timestamp(), stats_json = jsonb_build_object('complete', true,
           'listed', (select count(*)::text from provider_feed f where f.run_id = run.id and f.occurred_at >= run.window_start and f.occurred_at < run.window_end), 'differences', types,
           'new', fresh::text, 'reopened', again::text, 'resolved', healed::text, 'currencies', feed_totals(run),
           'found', case when run.dry_run then (select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('finding_type', d.type, 'severity', d.severity, 'tx_id', d.tx_id, 'provider_event_id', d.event_id,
             'provider', d.provider, 'ledger', d.ledger))), '[]') from unnest(found_[1:200]) d) end)
   where r.id = run.id returning * into run;
  return provider_run(run);
end $$;
comment on function finish_run(uuid, integer, text) is
  'Compares a run''s complete list with the ledger and leaves a finding for each difference; p_incomplete says why the list is not complete, and then nothing is concluded. A dry run finds and writes nothing down. Findings of the window whose two sides agree by now are resolved. Raises RK052.';

create function list_runs(p_tenant text, p_provider text, p_limit integer, p_offset integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('items', (select coalesce(jsonb_agg(provider_run(r) order by r.created_at desc, r.id), '[]') from (
      select * from reconciliation_runs x where x.provider <> 'wallet_ledger' and (p_tenant is null or x.tenant_id = p_tenant) and (p_provider is null or x.provider = p_provider)
       order by x.created_at desc, x.id limit least(p_limit, 200) offset p_offset) r),
    'total', (select count(*) from reconciliation_runs x where x.provider <> 'wallet_ledger' and (p_tenant is null or x.tenant_id = p_tenant) and (p_provider is null or x.provider = p_provider)))
$$;
comment on function list_runs(text, text, integer, integer) is 'Runs over providers, newest first; of one tenant, or of all.';

create function read_run(p_tenant text, p_run uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select provider_run(r) from reconciliation_runs r where r.id = p_run and r.provider <> 'wallet_ledger' and (p_tenant is null or r.tenant_id = p_tenant)
$$;
comment on function read_run(text, uuid) is 'A run; null when there is none, or it is another tenant''s.';

create function listed_until(p_provider text) returns text
language sql stable security definer set search_path = pg_catalog, public as $$
  select utc_text(greatest(coalesce((select max(e.occurred_at) from provider_events e where e.provider = p_provider and e.source = 'list'), '-infinity'), clock_timestamp() - interval '3 days'))
$$;
comment on function listed_until(text) is 'From where the events of a provider have to be listed again: the youngest that was, at most three days ago.';

create function purge_feed() returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  gone bigint;
begin
  delete from provider_feed f where (f.run_id, f.nth) in (select x.run_id, x.nth from provider_feed x join reconciliation_runs r on r.id = x.run_id where r.updated_at < clock_timestamp() - interval '90 days' limit 10000);
  get diagnostics gone = row_count;
  return gone;
end $$;
comment on function purge_feed() is 'Removes lists of runs that ended 90 days ago, at most 10,000 rows a call.';

select secure_table('provider_feed', false);

grant execute on function request_run(text, text, timestamptz, timestamptz, boolean, text, text), claim_run(uuid), add_feed(uuid, integer, jsonb), finish_run(uuid, integer, text),
  mockpsp_list(timestamptz, timestamptz, bigint, integer), list_runs(text, text, integer, integer), read_run(text, uuid) to kernel_money, kernel_jobs;

grant execute on function listed_until(text), purge_feed() to kernel_jobs;
