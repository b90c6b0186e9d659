-- Money, last part: the job that folds the entries of unconstrained accounts, the balance at any instant, and the invariants.

create table folds (
  account_id     uuid not null,
  version        bigint not null check (version > 0),
  created_at     timestamptz not null default clock_timestamp(),
  oldest_at      timestamptz not null,
  newest_at      timestamptz not null,
  upto_no        bigint not null,
  balance_before numeric not null,
  balance_after  numeric not null,
  primary key (account_id, version)
);
create index folds_by_time on folds (account_id, newest_at);
comment on table folds is 'Each step in which the balance of an unconstrained account was brought up to transfer upto_no. oldest_at: of the entries folded; newest_at: of all entries up to here. Append-only.';

create trigger folds_append_only before update or delete or truncate on folds for each statement execute function append_only();

create function fold_accounts(p_limit integer default 1000) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  upto   bigint;
  own    xid8;
  give_up timestamptz := clock_timestamp() + interval '2 seconds';
  folded integer;
begin
  if pg_current_xact_id_if_assigned() is not null or current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'fold_accounts needs a transaction of its own.' using errcode = 'RK001';
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('fold', 30)) then return 0; end if;
  select case when s.is_called then s.last_value else 0 end into upto from transfer_no_seq s;
  own := pg_current_xact_id();
  -- whoever drew a number up to here began before us; once all those have ended, no entry up to here is still to come
  while pg_snapshot_xmin(pg_current_snapshot()) < own loop
    if clock_timestamp() > give_up then return 0; end if;
    perform pg_sleep(0.002);
  end loop;
  with stale as materialized (
    select a.id, a.balance, a.version, f.amount, f.oldest_at, f.newest_at
      from (select a.* from accounts a where not a.constrained
               and exists (select from entries e where e.account_id = a.id and e.version is null and e.transfer_no > a.folded_no and e.transfer_no <= upto)
             order by a.id limit least(greatest(p_limit, 1), 100000)) a
      cross join lateral (select sum(e.amount) amount, min(e.created_at) oldest_at, max(e.created_at) newest_at from entries e
                           where e.account_id = a.id and e.version is null and e.transfer_no > a.folded_no and e.transfer_no <= upto) f
  ), kept as (
    insert into folds (account_id, version, oldest_at, newest_at, upto_no, balance_before, balance_after)
    select s.id, s.version + 1, s.oldest_at, greatest(s.newest_at, (select max(f.newest_at) from folds f where f.account_id = s.id)), upto, s.balance, s.balance + s.amount
      from stale s
  ), moved as (
    update accounts a set balance = s.balance + s.amount, version = s.version + 1, folded_no = upto, updated_at = clock_timestamp() from stale s where a.id = s.id
    returning 1
  )
  select count(*) into folded from moved;
  return folded;
end $$;
comment on function fold_accounts(integer) is
  'Brings the balances of unconstrained accounts up to their entries, and says how many accounts; repeatable. Waits up to 2 s for transactions that began earlier, else returns 0 and the next run folds. Raises RK001 (not in a transaction of its own).';

create function balance_at(p_account uuid, p_at timestamptz default 'infinity') returns numeric
language plpgsql stable security definer set search_path = pg_catalog, public set enable_seqscan = off as $$
declare
  account accounts;
  low     bigint := 0;
  high    bigint;
  middle  bigint;
  base    folds;
begin
  select * into account from accounts a where a.id = p_account;
  if account.constrained then
    high := account.version;
    while low < high loop -- versions have no gap and times follow them: halving finds the last one
      middle := (low + high + 1) / 2;
      if (select e.created_at <= p_at from entries e where e.account_id = p_account and e.version = middle) then low := middle; else high := middle - 1; end if;
    end loop;
    return coalesce((select e.balance_after from entries e where e.account_id = p_account and e.version = low), 0);
  end if;
  select * into base from folds f where f.account_id = p_account and f.newest_at <= p_at order by f.newest_at desc, f.version desc limit 1;
  -- beyond the last fold that reached back before p_at, what was folded is younger
  select coalesce(max(f.upto_no), base.upto_no, 0) into high from folds f
   where f.account_id = p_account and f.version > coalesce(base.version, 0) and f.oldest_at <= p_at;
  return case when account.id is not null then coalesce(base.balance_after, 0) + (
    select coalesce(sum(e.amount), 0) from entries e where e.account_id = p_account and e.version is null and e.created_at <= p_at
       and (e.transfer_no > coalesce(base.upto_no, 0) and e.transfer_no <= high or e.transfer_no > account.folded_no)) end;
end $$;
comment on function balance_at(uuid, timestamptz) is
  'The balance of an account as it was booked at an instant; without one, now, with what is not folded yet. Null: no such account.';

create function check_money() returns table (invariant text, violations bigint)
language sql stable security definer set search_path = pg_catalog, public as $$
  with sums as materialized ( -- one statement, so one snapshot: a movement at work is seen whole or not at all
    select e.account_id, sum(e.amount) total, coalesce(sum(e.amount) filter (where e.transfer_no <= a.folded_no), 0) folded, count(*) entries
      from entries e join accounts a on a.id = e.account_id group by e.account_id
  ), chain as (
    select e.account_id, count(*) filter (where e.version <> e.nth or e.balance_before <> e.known) breaks, max(e.version) newest
      from (select e.*, row_number() over w nth, lag(e.balance_after, 1, 0::bigint) over w known from entries e where e.version is not null
            window w as (partition by e.account_id order by e.version)) e group by e.account_id
  )
  select 'entries sum to zero', count(*) from (select from entries e left join accounts a on a.id = e.account_id
    group by e.transfer_no, a.currency having sum(e.amount) <> 0 or a.currency is null) x
  union all select 'a transfer has entries', count(*) from transfers t where (select count(*) from entries e where e.transfer_no = t.no) < 2
  union all select 'an entry has a transfer', count(*) from entries e where not exists (select from transfers t where t.no = e.transfer_no)
  union all select 'balances sum to zero', count(*) from (select from accounts a left join sums s on s.account_id = a.id
    group by a.currency having sum(case when a.constrained then a.balance else a.balance + coalesce(s.total - s.folded, 0) end) <> 0) x
  union all select 'a balance is the sum of its entries', count(*) from accounts a left join sums s on s.account_id = a.id
    where a.balance <> coalesce(case when a.constrained then s.total else s.folded end, 0)
  union all select 'a balance is what its last entry says', count(*) from accounts a left join chain c on c.account_id = a.id
    where a.constrained and a.version <> coalesce(c.newest, 0)
  union all select 'versions have no gap and balances follow', count(*) from chain c where c.breaks > 0
  union all select 'folds follow', count(*) from (select f.balance_before <> lag(f.balance_after, 1, 0::numeric) over w or f.version <> row_number() over w broken
    from folds f window w as (partition by f.account_id order by f.version)) x where x.broken
  union all select 'a floor holds at every version', count(*) from entries e join accounts a on a.id = e.account_id join transfers t on t.no = e.transfer_no
    where e.amount < 0 and e.balance_after < a.floor and not t.overdraw
  union all select 'held is the sum of pending holds', count(*) from accounts a
    where a.kind = 'held' and a.balance <> (select coalesce(sum(h.amount), 0) from holds h where h.held_id = a.id and h.status = 'pending')
  union all select 'a hold has its transfer', count(*) from holds h where not exists (select from transfers t where t.id = h.id and t.amount = h.amount)
  union all select 'promo is the sum of its lots', count(*) from accounts a
    where a.kind = 'promo' and a.balance <> (select coalesce(sum(l.remaining), 0) from promo_lots l where l.account_id = a.id)
  union all select 'a lot is the sum of its moves', count(*) from promo_lots l
    where l.remaining <> (select coalesce(sum(m.amount), 0) from promo_moves m where m.lot_id = l.id)
  union all select 'reversals do not exceed their original', count(*) from (select from transfers r join transfers o on o.no = r.reverses
    group by o.no having case when o.amount is null then count(*) > 1 else sum(r.amount) > o.amount end or bool_or(r.tenant_id <> o.tenant_id)) x
  union all select 'a key has its transfers, a transfer its key', (select count(*) from idempotency_keys k cross join jsonb_array_elements_text(k.answer -> 'transfer_ids') i
      where not exists (select from transfers t where t.id = i::uuid and t.key_id = k.id))
    + (select count(*) from transfers t where t.key_id is not null
        and not exists (select from idempotency_keys k where k.id = t.key_id and k.answer ->> 'outcome' = 'done'))
  union all select 'a transfer stays in its tenant', count(*) from entries e join accounts a on a.id = e.account_id join transfers t on t.no = e.transfer_no
    where a.tenant_id <> t.tenant_id
$$;
comment on function check_money() is 'Every invariant of the books with the number of its violations, in one snapshot, while money moves; reads only.';

do $$
begin
  alter table folds enable row level security;
  alter table folds force row level security;
  revoke all on folds from public;
  execute 'create policy owner_all on folds to current_user using (true) with check (true)';
  create policy service_role_all on folds to service_role using (true) with check (true);
  grant select on folds to service_role;
end $$;

grant execute on function fold_accounts(integer), check_money() to kernel_jobs;

grant execute on function balance_at(uuid, timestamptz), check_money() to kernel_api, kernel_money;
