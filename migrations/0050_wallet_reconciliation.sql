-- Revenue assurance, first part: every wallet's balance is compared with its entries; what drifted is healed from the entries, in
-- the commit that asserts it, and reported for ever. Why a clean wallet has no report of its own: docs/decisions/0015.

create function canonical_json(p_value jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, public as $$
begin
  return case jsonb_typeof(p_value)
    when 'object' then (select '{' || coalesce(string_agg(to_json(e.key)::text || ':' || canonical_json(e.value), ',' order by e.key collate "C"), '') || '}'
                          from jsonb_each(p_value) e)
    when 'array' then (select '[' || coalesce(string_agg(canonical_json(e.value), ',' order by e.n), '') || ']'
                         from jsonb_array_elements(p_value) with ordinality e (value, n))
    else p_value::text end;
end $$;
comment on function canonical_json(jsonb) is 'A value in the form of RFC 8785, as far as its keys are ASCII and its numbers whole; what is hashed holds no other.';

create table reconciliation_runs (
  id              uuid primary key default gen_random_uuid(),
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp(),
  window_start    timestamptz,
  window_end      timestamptz,
  lease_until     timestamptz,
  run_date        date,
  run_no          integer,
  page            integer not null default 0,
  cursor          uuid,
  dry_run         boolean not null default false,
  provider        text not null check (provider ~ '^[a-z0-9_-]{1,64}$'),
  tenant_id       text,
  status          text not null default 'queued' check (status in ('queued', 'running', 'completed', 'failed')),
  policy          text check (policy in ('ledger_is_right', 'wallet_is_right')),
  idempotency_key text check (length(idempotency_key) between 1 and 200),
  requested_by    text,
  stats_json      jsonb not null default '{}',
  error_json      jsonb,
  check ((run_date is null) = (run_no is null))
);
create unique index reconciliation_runs_once on reconciliation_runs (provider, idempotency_key) where idempotency_key is not null;
create unique index reconciliation_runs_by_date on reconciliation_runs (provider, run_date, run_no) where run_date is not null;
create index reconciliation_runs_recent on reconciliation_runs (provider, created_at);
comment on table reconciliation_runs is 'One run each, of a provider; wallet_ledger is the kernel''s own. cursor: the last owner of the pages that are done; a running one whose lease has passed is taken over and goes on from there. A run that has ended does not change.';

create function reconciliation_runs_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  if exists (select from was where status in ('completed', 'failed')) then
    raise exception 'A run that has ended does not change.' using errcode = 'RK051';
  end if;
  return null;
end $$;
comment on function reconciliation_runs_guard() is 'Statement trigger: a run that has ended is final. Raises RK051.';

create trigger reconciliation_runs_final after update on reconciliation_runs referencing old table as was for each statement execute function reconciliation_runs_guard();

create trigger reconciliation_runs_no_delete before delete or truncate on reconciliation_runs for each statement execute function append_only();

create table reconciliation_reports (
  id            uuid primary key,
  created_at    timestamptz not null default clock_timestamp(),
  run_id        uuid not null,
  account_id    uuid,
  report_date   date not null,
  run_no        integer not null,
  body          jsonb not null,
  checksum      text not null,
  wallet_before numeric generated always as ((body ->> 'wallet_before')::numeric) stored,
  wallet_after  numeric generated always as ((body ->> 'wallet_after')::numeric) stored,
  ledger_sum    numeric generated always as ((body ->> 'ledger_sum')::numeric) stored,
  delta         numeric generated always as ((body ->> 'delta')::numeric) stored,
  ledger_count  bigint generated always as ((body ->> 'ledger_count')::bigint) stored,
  status        text generated always as (body ->> 'status') stored,
  check (body ->> 'status' in ('clean', 'adjusted', 'error'))
);
create unique index reconciliation_reports_once on reconciliation_reports (report_date, account_id, run_no) nulls not distinct;
create index reconciliation_reports_chain on reconciliation_reports (account_id, report_date, run_no);
comment on table reconciliation_reports is 'What a run found and did: of an account (of a wallet that had drifted, or of each when asked for), and of the run as a whole (account_id null). checksum: SHA-256 of body as canonical JSON; body names the checksum of the report before it. Append-only.';

create trigger reconciliation_reports_append_only before update or delete or truncate on reconciliation_reports for each statement execute function append_only();

create table account_repairs (
  id             uuid primary key,
  created_at     timestamptz not null default clock_timestamp(),
  report_id      uuid not null,
  account_id     uuid not null,
  balance_before numeric,
  balance_after  numeric not null,
  version_before bigint,
  version_after  bigint not null,
  transfer_id    uuid,
  actions        text[] not null
);
create index account_repairs_by_account on account_repairs (account_id, created_at);
comment on table account_repairs is 'Each heal of an account, with its report: what was set, and the transfer that was booked where there was one. Append-only.';

create trigger account_repairs_append_only before update or delete or truncate on account_repairs for each statement execute function append_only();

create type account_fact as (
  account_id uuid, tenant_id text, owner_id uuid, currency text, kind text, balance numeric, version bigint,
  ledger_sum numeric, ledger_count bigint, newest bigint, expected numeric, drift text[]);
comment on type account_fact is 'An account beside its entries; balance null: it has no row. expected: what holds or lots say. drift: in what it differs.';

create function account_facts(p_owners uuid[]) returns setof account_fact
language sql stable security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off as $$
  with known as materialized (
    select a.id, a.tenant_id, a.owner_id, a.currency, a.kind, a.name, a.balance, a.version from accounts a where a.owner_id = any(p_owners)
  ), lost as ( -- an owner's accounts are opened together: where two kinds are there the third must be, and so must one that has entries
    select account_id(w.tenant_id, w.owner_id, w.currency, k.kind) id, w.tenant_id, w.owner_id, w.currency, k.kind, w.kinds
      from (select n.tenant_id, n.owner_id, n.currency, array_agg(n.kind) kinds from known n where n.name = ''
             group by n.tenant_id, n.owner_id, n.currency having count(*) < 3) w
      cross join unnest(array['available', 'held', 'promo']) k (kind) where k.kind <> all (w.kinds)
  ), subject as materialized (
    select n.id, n.tenant_id, n.owner_id, n.currency, n.kind, n.balance, n.version from known n
    union all
    select l.id, l.tenant_id, l.owner_id, l.currency, l.kind, null, null from lost l
     where cardinality(l.kinds) = 2 or exists (select from entries e where e.account_id = l.id and e.version is not null)
  ), booked as materialized ( -- offset 0: an index probe for each account, whatever the statistics say
    select e.account_id, sum(e.amount) total, count(*) n, max(e.version) newest,
           count(*) filter (where e.version <> e.nth or e.balance_after <> e.balance_before + e.amount) gaps,
           count(*) filter (where e.balance_before <> e.known and not exists (select from account_repairs r where r.account_id = e.account_id
             and (r.version_after >= e.version or r.version_after = e.version - 1 and r.balance_after = e.balance_before))) breaks
      from (select e.*, row_number() over w nth, lag(e.balance_after, 1, 0::bigint) over w known
              from subject s cross join lateral (select e.account_id, e.amount, e.version, e.balance_before, e.balance_after
                from entries e where e.account_id = s.id and e.version is not null offset 0) e
            window w as (partition by e.account_id order by e.version)) e
     group by e.account_id
  ), promised as materialized (
    select s.id, sum(h.amount) amount, 0::bigint odd from subject s
     cross join lateral (select h.amount from holds h where h.held_id = s.id and h.status = 'pending' offset 0) h where s.kind = 'held' group by s.id
    union all
    select s.id, sum(l.remaining), count(*) filter (where l.remaining <> (select coalesce(sum(m.amount), 0) from promo_moves m where m.lot_id = l.id))
      from subject s cross join lateral (select l.id, l.remaining from promo_lots l where l.account_id = s.id and s.kind = 'promo' offset 0) l group by s.id
  ), beside as (
    select s.*, coalesce(b.total, 0) total, coalesce(b.n, 0) n, coalesce(b.newest, 0) newest, coalesce(b.gaps, 0) gaps, coalesce(b.breaks, 0) breaks,
           case when s.kind in ('held', 'promo') then coalesce(p.amount, 0) end expected, coalesce(p.odd, 0) odd
      from subject s left join booked b on b.account_id = s.id left join promised p on p.id = s.id
  )
  select b.id, b.tenant_id, b.owner_id, b.currency, b.kind, b.balance, b.version, b.total, b.n, b.newest, b.expected,
         array_remove(array[case when b.balance is null then 'missing' end, case when b.gaps > 0 then 'entries' end, case when b.breaks > 0 then 'chain' end,
           case when b.balance <> b.total then 'balance' end, case when b.version <> b.newest then 'version' end,
           case when b.total <> b.expected or b.odd > 0 then b.kind end], null)
    from beside b
$$;
comment on function account_facts(uuid[]) is
  'Every account of these owners beside its entries, holds and lots, in one snapshot. drift: missing (no row), entries (one is gone or does not add up), chain (one began from a balance that the one before it did not leave, as happens when a movement meets a drifted snapshot, and no repair says why), balance, version, held (not the sum of pending holds), promo (not the sum of its lots, or a lot not that of its moves).';

create function wallet_drift(p_after uuid default null, p_limit integer default 2000) returns table (last_owner uuid, owners integer, fact account_fact)
language sql stable security definer set search_path = pg_catalog, public as $$
  with page as materialized (
    select array_agg(o.owner_id order by o.owner_id) owners from (select distinct a.owner_id from accounts a
     where a.owner_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') order by 1 limit least(greatest(p_limit, 1), 10000)) o
  )
  select p.owners[cardinality(p.owners)], cardinality(p.owners), f
    from page p left join lateral (select f from account_facts(p.owners) f where f.drift <> '{}') x (f) on true
$$;
comment on function wallet_drift(uuid, integer) is 'A page of owners and what of theirs has drifted; reads only. A page without drift is one row whose fact is null, the page after the last one a row without owner.';

create function heal_promises(p_run uuid, p_fact account_fact, p_locked uuid[]) returns text[]
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  excess  numeric;
  pending uuid[];
  actions text[] := '{}';
begin
  if p_fact.kind = 'promo' then
    update promo_lots l set remaining = m.left_ from (select m.lot_id, sum(m.amount)::bigint left_ from promo_moves m
       where m.lot_id in (select l.id from promo_lots l where l.account_id = p_fact.account_id) group by m.lot_id) m where l.id = m.lot_id and l.remaining <> m.left_;
    return case when found then array['lots_recounted'] else '{}' end;
  end if;
  select array_agg(h.id order by h.id) into pending from holds h where h.held_id = p_fact.account_id and h.status = 'pending'
     and (p_fact.ledger_sum = 0 or not exists (select from transfers t where t.id = h.id and t.amount = h.amount));
  if pending <@ p_locked then -- one that was not locked before the account waits for the next run: its holder may be waiting for the account
    update holds h set status = 'voided', resolved_at = clock_timestamp() where h.id = any(pending);
    actions := actions || 'holds_voided'::text;
  end if;
  select p_fact.ledger_sum - coalesce(sum(h.amount), 0) into excess from holds h where h.held_id = p_fact.account_id and h.status = 'pending';
  if excess > 0 then
    if post(p_fact.tenant_id, null, array[derived_uuid('release|' || p_run || '|' || p_fact.account_id)], array['{"kind": "release", "reason": "No hold is pending for it."}'::jsonb],
            array[1, 1], array[p_fact.account_id, account_id(p_fact.tenant_id, p_fact.owner_id, p_fact.currency, 'available')],
            array[- excess::bigint, excess::bigint], p_reversible => array[false]) ->> 'outcome' <> 'done' then
      raise exception 'What is held for no hold cannot be released.' using errcode = 'RK051';
    end if;
    actions := actions || 'excess_released'::text;
  end if;
  return actions;
end $$;
comment on function heal_promises(uuid, account_fact, uuid[]) is
  'Brings holds and lots back to the entries: a lot is what its moves say, a hold without its transfer (or beside an empty account) is void, and what no hold claims goes back to the owner. Which of several holds is unfounded is never guessed. Under the account''s lock.';

create function heal_account(p_run uuid, p_policy text, p_fact account_fact, p_locked uuid[]) returns text[]
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  delta   numeric := p_fact.balance - p_fact.ledger_sum;
  actions text[] := '{}';
begin
  if 'entries' = any(p_fact.drift) or exists (select from (select distinct e.transfer_no from entries e where e.account_id = p_fact.account_id) m
      left join transfers t on t.no = m.transfer_no join entries o on o.transfer_no = m.transfer_no where t.amount is not null or t.no is null
     group by o.transfer_no, t.amount having sum(o.amount) <> 0 or sum(o.amount) filter (where o.amount > 0) is distinct from t.amount) then
    raise exception 'An entry is gone or was changed: a person must look before anything is set.' using errcode = 'RK051';
  end if;
  if 'missing' = any(p_fact.drift) then
    insert into accounts (id, tenant_id, owner_id, currency, kind, constrained, floor)
    values (p_fact.account_id, p_fact.tenant_id, p_fact.owner_id, p_fact.currency, p_fact.kind, true, 0);
    actions := actions || 'account_opened'::text;
  end if;
  if p_fact.drift && array['missing', 'chain', 'balance', 'version'] then
    update accounts a set balance = p_fact.ledger_sum, version = p_fact.newest, updated_at = greatest(clock_timestamp(), a.updated_at) where a.id = p_fact.account_id;
    actions := actions || 'snapshot_set'::text;
  end if;
  if p_policy = 'wallet_is_right' and p_fact.kind = 'available' and delta <> 0 then
    if post(p_fact.tenant_id, null, array[derived_uuid('reconcile|' || p_run || '|' || p_fact.account_id)],
            array[jsonb_build_object('kind', 'reconcile_adjustment', 'actor', 'system:reconciliation', 'reason', 'The wallet is right: the ledger follows it by ' || delta || '.',
              'metadata', jsonb_build_object('report_id', derived_uuid('report|' || p_run || '|' || p_fact.account_id)))],
            array[1, 1], array[p_fact.account_id, account_id(p_fact.tenant_id, null, p_fact.currency, 'adjustments')],
            array[delta::bigint, - delta::bigint], p_overdraw => true, p_reversible => array[false]) ->> 'outcome' <> 'done' then
      raise exception 'The adjustment was refused.' using errcode = 'RK051';
    end if;
    actions := actions || 'adjustment_booked'::text;
  end if;
  if p_fact.drift && array['held', 'promo'] then
    actions := actions || heal_promises(p_run, p_fact, p_locked);
  end if;
  return actions;
end $$;
comment on function heal_account(uuid, text, account_fact, uuid[]) is
  'Heals an account and says how; the caller asserts that it is well. The entries are the truth: balance and version are set to them, and wallet_is_right then books what an available balance had more or less as an adjustment. Raises RK051 where only a person can decide.';
