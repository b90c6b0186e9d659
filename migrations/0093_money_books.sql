-- The books of money as a person reads them: the trial balance that must be zero, accounts, and both legs of each movement.

create function account_row(a accounts) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', a.id, 'tenant_id', a.tenant_id, 'owner_id', a.owner_id, 'kind', a.kind, 'name', a.name, 'currency', a.currency,
    'exponent', (select c.exponent from currencies c where c.code = a.currency), 'constrained', a.constrained, 'created_at', utc_text(a.created_at),
    'balance_minor', case when a.constrained then a.balance else balance_at(a.id) end::text)
$$;
comment on function account_row(accounts) is 'An account with its balance in minor units; of one that no floor guards, with what is not folded yet.';

create function trial_balance(p_tenant text) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  with balances as materialized (
    select a.currency, a.kind, count(*) accounts, sum(case when a.constrained then a.balance else balance_at(a.id) end) balance
      from accounts a where a.tenant_id = p_tenant group by 1, 2
  )
  select jsonb_build_object('as_of', utc_text(clock_timestamp()), 'tenant_id', p_tenant, 'currencies', coalesce((
    select jsonb_agg(jsonb_build_object('currency', b.currency, 'exponent', c.exponent, 'sum_minor', b.total::text, 'kinds', b.kinds) order by b.currency)
      from (select x.currency, sum(x.balance) total, jsonb_agg(jsonb_build_object('kind', x.kind, 'accounts', x.accounts::text, 'balance_minor', x.balance::text) order by x.kind) kinds
              from balances x group by 1) b join currencies c on c.code = b.currency), '[]'))
$$;
comment on function trial_balance(text) is 'The balances of a tenant by currency and kind of account, in minor units, in one snapshot; sum_minor of each currency is 0, or something is wrong.';

create function list_accounts(p_tenant text, p_filter jsonb, p_after uuid, p_limit integer) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select account_row(a) from accounts a
   where a.tenant_id = p_tenant and (p_after is null or a.id > p_after)
     and (p_filter ->> 'kind' is null or a.kind = p_filter ->> 'kind') and (p_filter ->> 'currency' is null or a.currency = p_filter ->> 'currency')
     and (p_filter ->> 'owner_id' is null or a.owner_id = (p_filter ->> 'owner_id')::uuid)
   order by a.id limit least(greatest(p_limit, 1), 200) + 1
$$;
comment on function list_accounts(text, jsonb, uuid, integer) is 'Accounts of a tenant in order of id, after one; p_filter: {kind, currency, owner_id}. One more than asked for tells that there is a next page.';

create function transfer_row(t transfers) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', t.id, 'no', t.no::text, 'kind', t.kind, 'tenant_id', t.tenant_id, 'event_at', utc_text(t.event_at), 'created_at', utc_text(t.created_at),
    'reference', t.reference, 'reason', t.reason, 'actor', t.actor, 'provider', t.provider, 'provider_ref', t.provider_ref, 'provider_event_id', t.provider_event_id,
    'reverses', (select o.id from transfers o where o.no = t.reverses), 'reversed_by', (select coalesce(jsonb_agg(r.id order by r.no), '[]') from transfers r where r.reverses = t.no),
    'entries', (select jsonb_agg(jsonb_build_object('account_id', e.account_id, 'owner_id', a.owner_id, 'kind', a.kind, 'name', a.name, 'currency', a.currency, 'exponent', c.exponent,
                  'amount_minor', e.amount::text, 'balance_before_minor', e.balance_before::text, 'balance_after_minor', e.balance_after::text, 'version', e.version::text) order by e.n)
      from entries e join accounts a on a.id = e.account_id join currencies c on c.code = a.currency where e.transfer_no = t.no))
$$;
comment on function transfer_row(transfers) is 'A movement with all its entries; a negative amount leaves the account. An account that no floor guards has no running balance.';

create function read_transfer(p_tenant text, p_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select transfer_row(t) from transfers t where t.id = p_id and t.tenant_id = p_tenant
$$;
comment on function read_transfer(text, uuid) is 'A movement of the tenant; null when there is none.';

create function read_account(p_tenant text, p_id uuid, p_before bigint, p_limit integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('as_of', utc_text(clock_timestamp()), 'account', account_row(a), 'transfers', (select coalesce(jsonb_agg(transfer_row(t) order by t.no desc), '[]')
      from (select x.* from transfers x where x.no in (select e.transfer_no from entries e where e.account_id = a.id and (p_before is null or e.transfer_no < p_before)
                                                        group by 1 order by 1 desc limit least(greatest(p_limit, 1), 100) + 1)) t))
    from accounts a where a.id = p_id and a.tenant_id = p_tenant
$$;
comment on function read_account(text, uuid, bigint, integer) is 'An account of the tenant with its movements, newest first, before a number; one more than asked for tells that there is a next page. Null when there is no such account.';

grant execute on function trial_balance(text), list_accounts(text, jsonb, uuid, integer), read_transfer(text, uuid), read_account(text, uuid, bigint, integer) to kernel_api;
