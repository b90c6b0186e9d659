-- Money, second part: transfers and their entries, what guards them, and post(), the only writer of both.
-- No foreign key and no row trigger on entries: one statement trigger checks account, currency, sum and balance together.

create sequence transfer_no_seq as bigint cache 1;

create table transfers (
  no                bigint primary key default nextval('transfer_no_seq'),
  id                uuid not null unique,
  key_id            uuid,
  event_at          timestamptz not null,
  created_at        timestamptz not null,
  reverses          bigint,
  reversible        boolean not null,
  overdraw          boolean not null,
  amount            numeric,
  tenant_id         text not null,
  kind              varchar(64) not null,
  reference         varchar(200),
  reason            varchar(2000),
  actor             varchar(200),
  provider          varchar(64),
  provider_ref      varchar(128),
  provider_event_id varchar(128),
  metadata          jsonb
) with (autovacuum_vacuum_insert_scale_factor = 0.05);
create index transfers_by_original on transfers (reverses) where reverses is not null;
create unique index transfers_once_an_event on transfers (tenant_id, provider, provider_event_id) where provider_event_id is not null;
comment on table transfers is 'A movement of money: event_at is when it happened, created_at when it was booked. key_id: the call that asked for it, null = a job. amount: what it moves, null = several currencies. reverses: no of the transfer it takes back. overdraw: it may take a balance below its floor. Append-only.';

create table entries (
  transfer_no    bigint not null,
  created_at     timestamptz not null,
  amount         bigint not null,
  balance_before bigint,
  balance_after  bigint,
  version        bigint,
  account_id     uuid not null,
  n              smallint not null,
  primary key (transfer_no, n)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);
create unique index entries_of_constrained on entries (account_id, version) where version is not null;
create index entries_of_unconstrained on entries (account_id, transfer_no) where version is null;
comment on table entries is 'The double entry: amount is positive when it credits the account, and the entries of a transfer sum to zero in each currency. An entry of a constrained account carries the balance before and after it and a version that counts from 1 without a gap. Append-only.';

create trigger transfers_append_only before update or delete or truncate on transfers for each statement execute function append_only();

create trigger entries_append_only before update or delete or truncate on entries for each statement execute function append_only();

create function entries_guard() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  -- lateral and limit 1: an index probe for each entry, whatever the statistics say
  if exists (select from added e
      left join lateral (select a.currency, a.constrained, a.version, a.balance from accounts a where a.id = e.account_id limit 1) a on true
     group by e.transfer_no, a.currency
    having sum(e.amount) <> 0
        or not bool_and(coalesce(e.amount <> 0 and e.n > 0 and case
             when a.constrained then e.balance_after = e.balance_before + e.amount and e.version between 1 and a.version
                                     and (e.version < a.version or e.balance_after = a.balance)
             else e.version is null and e.balance_before is null and e.balance_after is null and not a.constrained end, false))) then
    raise exception 'Entries must sum to zero and agree with their accounts.' using errcode = 'RK032';
  end if;
  return null;
end $$;
comment on function entries_guard() is 'Statement trigger: what one statement adds to a transfer sums to zero in each currency, and carries balances and version exactly when its account is constrained and has moved that far. Raises RK032.';

create trigger entries_balanced after insert on entries referencing new table as added for each statement execute function entries_guard();

create function post_pair(p_tenant text, p_key uuid, p_id uuid, p_detail jsonb, p_account uuid[], p_amount bigint[],
                          p_reserved boolean, p_overdraw boolean, p_reverses bigint, p_reversible boolean[]) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  one  accounts;
  two  accounts;
  one_after numeric;
  two_after numeric;
  booked_at timestamptz;
  transfer  bigint;
begin
  if p_account[1] < p_account[2] then -- locks in the order of ids
    select * into one from accounts a where a.id = p_account[1] and a.constrained for no key update;
    select * into two from accounts a where a.id = p_account[2] and a.constrained for no key update;
  else
    select * into two from accounts a where a.id = p_account[2] and a.constrained for no key update;
    select * into one from accounts a where a.id = p_account[1] and a.constrained for no key update;
  end if;
  if one.id is null then select * into one from accounts a where a.id = p_account[1]; end if;
  if two.id is null then select * into two from accounts a where a.id = p_account[2]; end if;
  one_after := one.balance + p_amount[1];
  two_after := two.balance + p_amount[2];
  if (one.tenant_id = p_tenant and two.tenant_id = p_tenant) is not true then return refused('ACCOUNT_NOT_FOUND', 1);
  elsif one.id = two.id then return refused('SAME_ACCOUNT', 1);
  elsif not p_reserved and (one.kind in ('held', 'promo') or two.kind in ('held', 'promo')) then return refused('ACCOUNT_RESERVED', 1);
  elsif one.currency <> two.currency then return refused('CURRENCY_MISMATCH', 1);
  elsif p_amount[1]::numeric + p_amount[2] <> 0 then return refused('UNBALANCED', 1);
  elsif not p_overdraw and (p_amount[1] < 0 and one_after < one.floor or p_amount[2] < 0 and two_after < two.floor) then
    return refused('INSUFFICIENT_FUNDS', 1);
  elsif one.constrained and abs(one_after) > 9223372036854775807 or two.constrained and abs(two_after) > 9223372036854775807 then
    return refused('BALANCE_OUT_OF_RANGE', 1);
  end if;
  booked_at := greatest(clock_timestamp(), case when one.constrained then one.updated_at end, case when two.constrained then two.updated_at end);
  insert into transfers (id, key_id, event_at, created_at, reverses, reversible, overdraw, amount, tenant_id, kind, reference, reason, actor,
                         provider, provider_ref, provider_event_id, metadata)
  values (p_id, p_key, coalesce((p_detail ->> 'event_at')::timestamptz, booked_at), booked_at, p_reverses, coalesce(p_reversible[1], true), p_overdraw, abs(p_amount[1]), p_tenant,
          p_detail ->> 'kind', p_detail ->> 'reference', p_detail ->> 'reason', p_detail ->> 'actor',
          p_detail ->> 'provider', p_detail ->> 'provider_ref', p_detail ->> 'provider_event_id', p_detail -> 'metadata')
  returning no into transfer;
  update accounts a set balance = case a.id when one.id then one_after else two_after end, version = a.version + 1, updated_at = booked_at
   where a.id in (one.id, two.id) and a.constrained;
  insert into entries (transfer_no, n, account_id, amount, created_at, balance_before, balance_after, version) values
    (transfer, 1, one.id, p_amount[1], booked_at, case when one.constrained then one.balance end, case when one.constrained then one_after end,
     case when one.constrained then one.version + 1 end),
    (transfer, 2, two.id, p_amount[2], booked_at, case when two.constrained then two.balance end, case when two.constrained then two_after end,
     case when two.constrained then two.version + 1 end);
  return jsonb_build_object('outcome', 'done', 'transfer_ids', array[p_id], 'created_at', utc_text(booked_at), 'balances',
    case when one.constrained then jsonb_build_object(one.id, one_after::text) else '{}' end
    || case when two.constrained then jsonb_build_object(two.id, two_after::text) else '{}' end);
end $$;
comment on function post_pair(text, uuid, uuid, jsonb, uuid[], bigint[], boolean, boolean, bigint, boolean[]) is
  'What post_many does, for one movement of two entries, without the plan of a set; called by post only.';

create function post_many(p_tenant text, p_key uuid, p_ids uuid[], p_details jsonb[], p_move integer[], p_account uuid[], p_amount bigint[],
                          p_reserved boolean, p_overdraw boolean, p_reverses bigint, p_reversible boolean[]) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  result jsonb;
begin
  perform from accounts a where a.id = any(p_account) and a.constrained order by a.id for no key update;
  -- a statement of its own, for its snapshot must be younger than the locks
  with given as materialized (
    select u.move, u.account_id, u.amount, u.nth, row_number() over (partition by u.move order by u.nth) n,
           row_number() over step as step, sum(u.amount) over step as moved, a.tenant_id, a.currency, a.kind, a.constrained, a.floor, a.balance, a.version, a.updated_at
      from unnest(p_move, p_account, p_amount) with ordinality u (move, account_id, amount, nth)
      left join lateral (select * from accounts a where a.id = u.account_id limit 1) a on true
    window step as (partition by u.account_id order by u.nth)
  ), clock as materialized (
    select greatest(clock_timestamp(), max(g.updated_at) filter (where g.constrained)) booked_at from given g
  ), refusal as materialized (
    select x.move, x.code from (
      select g.move, 1 rank, 'ACCOUNT_NOT_FOUND' code from given g where g.tenant_id is distinct from p_tenant
      union all select g.move, 2, 'SAME_ACCOUNT' from given g group by g.move, g.account_id having count(*) > 1
      union all select g.move, 3, 'ACCOUNT_RESERVED' from given g where not p_reserved and g.kind in ('held', 'promo')
      union all select g.move, case when count(*) = 1 then 4 else 5 end, case when count(*) = 1 then 'CURRENCY_MISMATCH' else 'UNBALANCED' end
                  from given g group by g.move, g.currency having sum(g.amount) <> 0
      union all select g.move, 6, 'INSUFFICIENT_FUNDS' from given g where not p_overdraw and g.amount < 0 and g.balance + g.moved < g.floor
      union all select g.move, 7, 'BALANCE_OUT_OF_RANGE' from given g where g.constrained and abs(g.balance + g.moved) > 9223372036854775807) x
     order by x.move, x.rank limit 1
  ), numbered as materialized (
    select d.move, d.id, d.detail, nextval('transfer_no_seq') no,
           (select case when count(distinct g.currency) = 1 then sum(g.amount) filter (where g.amount > 0) end from given g where g.move = d.move) amount
      from unnest(p_ids, p_details) with ordinality d (id, detail, move) where not exists (select from refusal)
  ), booked as (
    insert into transfers (no, id, key_id, event_at, created_at, reverses, reversible, overdraw, amount, tenant_id, kind, reference, reason, actor,
                           provider, provider_ref, provider_event_id, metadata)
    select b.no, b.id, p_key, coalesce((b.detail ->> 'event_at')::timestamptz, c.booked_at), c.booked_at, p_reverses, coalesce(p_reversible[b.move], true), p_overdraw, b.amount, p_tenant,
           b.detail ->> 'kind', b.detail ->> 'reference', b.detail ->> 'reason', b.detail ->> 'actor',
           b.detail ->> 'provider', b.detail ->> 'provider_ref', b.detail ->> 'provider_event_id', b.detail -> 'metadata'
      from numbered b, clock c
  ), last as materialized (
    select distinct on (g.account_id) g.account_id, g.balance + g.moved as balance, g.version + g.step as version
      from given g where g.constrained and not exists (select from refusal) order by g.account_id, g.step desc
  ), moved as (
    update accounts a set balance = l.balance, version = l.version, updated_at = c.booked_at from last l, clock c where a.id = l.account_id
  ), added as (
    insert into entries (transfer_no, n, account_id, amount, created_at, balance_before, balance_after, version)
    select b.no, g.n, g.account_id, g.amount, c.booked_at, case when g.constrained then g.balance + g.moved - g.amount end,
           case when g.constrained then g.balance + g.moved end, case when g.constrained then g.version + g.step end
      from given g join numbered b on b.move = g.move cross join clock c
  )
  select coalesce((select refused(r.code, r.move) from refusal r),
    jsonb_build_object('outcome', 'done', 'transfer_ids', p_ids, 'created_at', (select utc_text(c.booked_at) from clock c),
      'balances', (select coalesce(jsonb_object_agg(l.account_id, l.balance::text), '{}') from last l)))
    into result;
  return result;
end $$;
comment on function post_many(text, uuid, uuid[], jsonb[], integer[], uuid[], bigint[], boolean, boolean, bigint, boolean[]) is
  'Posts any number of movements of any number of entries in one statement, or none of them; called by post only.';

create function post(p_tenant text, p_key uuid, p_ids uuid[], p_details jsonb[], p_move integer[], p_account uuid[], p_amount bigint[],
                     p_reserved boolean default true, p_overdraw boolean default false, p_reverses bigint default null, p_reversible boolean[] default null) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform pg_current_xact_id(); -- before a number is drawn: fold_accounts waits for transactions, and so for numbers
  if (cardinality(p_details) > 1 or p_details[1] ? 'provider_event_id') and exists (
      select from unnest(p_details) d join transfers t on t.tenant_id = p_tenant and t.provider = d ->> 'provider' and t.provider_event_id = d ->> 'provider_event_id') then
    return refused('PROVIDER_EVENT_USED');
  elsif cardinality(p_ids) = 1 and cardinality(p_amount) = 2 then
    return post_pair(p_tenant, p_key, p_ids[1], p_details[1], p_account, p_amount, p_reserved, p_overdraw, p_reverses, p_reversible);
  end if;
  return post_many(p_tenant, p_key, p_ids, p_details, p_move, p_account, p_amount, p_reserved, p_overdraw, p_reverses, p_reversible);
end $$;
comment on function post(text, uuid, uuid[], jsonb[], integer[], uuid[], bigint[], boolean, boolean, bigint, boolean[]) is
  'The only writer of transfers and entries: posts the movements p_ids with p_details, whose entries are p_move (from 1), p_account and p_amount (credit above zero), all or none. Locks constrained accounts in the order of ids; p_reserved: held and promo may be named; p_overdraw: floors do not hold; p_reversible: for each movement, null = all. Returns done with the balances after it, or the first refusal.';
