-- Money, third part: the calls that move it between any accounts: one movement, an atomic batch, a reversal; and who may see it.

create function require_entries(p_movement jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog as $$
begin
  if jsonb_typeof(p_movement -> 'entries') is distinct from 'array' or jsonb_array_length(p_movement -> 'entries') not between 2 and 100
      or p_movement ->> 'kind' is null then
    raise exception 'A movement has a kind and 2 to 100 entries.' using errcode = 'RK030';
  end if;
  return p_movement -> 'entries';
end $$;
comment on function require_entries(jsonb) is 'The entries of a movement. Raises RK030.';

create function signed_amount(p_entry jsonb) returns bigint
language plpgsql immutable parallel safe set search_path = pg_catalog, public as $$
begin
  if (p_entry ->> 'direction' in ('credit', 'debit') and p_entry ->> 'amount_minor' ~ '^[1-9]\d{0,18}$') is not true then
    raise exception 'An entry is a debit or a credit of a whole number of minor units, above zero.' using errcode = 'RK030';
  end if;
  return (p_entry ->> 'amount_minor')::bigint * case p_entry ->> 'direction' when 'credit' then 1 else -1 end;
end $$;
comment on function signed_amount(jsonb) is 'The amount of an entry as the ledger keeps it, a debit below zero. Raises RK030, 22003.';

create function transfer(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call     record;
  entries_ jsonb;
  account  uuid[];
  amount   bigint[];
begin
  call := begin_call(p_tenant, p_scope, p_key, 'transfer', p_body);
  if call.answer is not null then return call.answer; end if;
  entries_ := require_entries(p_body);
  for i in 0 .. jsonb_array_length(entries_) - 1 loop
    account[i + 1] := (entries_ -> i ->> 'account_id')::uuid;
    amount[i + 1] := signed_amount(entries_ -> i);
  end loop;
  return end_call(p_tenant, p_scope, p_key, 'transfer', call.id, call.hash,
    post(p_tenant, call.id, array[call.id], array[p_body], array_fill(1, array[cardinality(amount)]), account, amount, p_reserved => false));
end $$;
comment on function transfer(text, text, text, jsonb) is
  'One movement: {kind, entries: [{account_id, direction, amount_minor}], event_at?, reference?, reason?, actor?, provider?, provider_ref?, provider_event_id?, metadata?}. Its id is derived from the key. Raises RK001, RK030.';

create function transfer_batch(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call      record;
  ids       uuid[];
  details   jsonb[];
  moves     integer[];
  accounts_ uuid[];
  amounts   bigint[];
begin
  call := begin_call(p_tenant, p_scope, p_key, 'transfer_batch', p_body);
  if call.answer is not null then return call.answer; end if;
  if jsonb_typeof(p_body -> 'movements') is distinct from 'array' or jsonb_array_length(p_body -> 'movements') not between 1 and 1000 then
    raise exception 'A batch has 1 to 1000 movements.' using errcode = 'RK030';
  end if;
  select array_agg(derived_uuid(call.id || '|' || m.n) order by m.n), array_agg(m.movement order by m.n) into ids, details
    from jsonb_array_elements(p_body -> 'movements') with ordinality m (movement, n);
  select array_agg(m.n order by m.n, e.n), array_agg((e.entry ->> 'account_id')::uuid order by m.n, e.n), array_agg(signed_amount(e.entry) order by m.n, e.n)
    into moves, accounts_, amounts
    from unnest(details) with ordinality m (movement, n)
    cross join lateral jsonb_array_elements(require_entries(m.movement)) with ordinality e (entry, n);
  return end_call(p_tenant, p_scope, p_key, 'transfer_batch', call.id, call.hash,
    post(p_tenant, call.id, ids, details, moves, accounts_, amounts, p_reserved => false));
end $$;
comment on function transfer_batch(text, text, text, jsonb) is
  'An atomic batch: {movements: [...]}, each as transfer takes it, posted in their order, all or none; a refusal says which movement it was. Raises RK001, RK030.';

create function reversal_parts(p_no bigint, p_done numeric, p_amount numeric) returns table (account_id uuid, amount bigint)
language sql stable set search_path = pg_catalog, public as $$
  with sides as ( -- each side is given back in the order of its entries: what lies between p_done and p_done + p_amount
    select e.n, e.amount, coalesce(back.id, e.account_id) account_id,
           sum(abs(e.amount)) over (partition by e.amount > 0 order by e.n) upto
      from entries e join accounts a on a.id = e.account_id
      left join accounts back on a.kind = 'held' and back.id = account_id(a.tenant_id, a.owner_id, a.currency, 'available') -- nothing returns into a hold
     where e.transfer_no = p_no
  ), parts as (
    select s.n, s.account_id, s.amount,
           greatest(0, least(s.upto, p_done + p_amount) - greatest(s.upto - abs(s.amount), p_done)) part from sides s
  )
  select p.account_id, (case when p.amount > 0 then - p.part else p.part end)::bigint from parts p where p.part > 0 order by p.n
$$;
comment on function reversal_parts(bigint, numeric, numeric) is 'The entries that take back p_amount of a transfer of which p_done was taken back before.';

create function reverse(p_tenant text, p_scope text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, public set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  call     record;
  original transfers;
  done     numeric;
  amount   numeric;
  account  uuid[];
  amounts  bigint[];
  answer   jsonb;
begin
  call := begin_call(p_tenant, p_scope, p_key, 'reverse', p_body);
  if call.answer is not null then return call.answer; end if;
  select * into original from transfers t where t.id = (p_body ->> 'transfer_id')::uuid and t.tenant_id = p_tenant for no key update; -- one reversal at a time
  select count(*) filter (where t.amount is null), coalesce(sum(t.amount), 0) into amount, done from transfers t where t.reverses = original.no;
  if original.no is null then answer := refused('TRANSFER_NOT_FOUND');
  elsif not original.reversible then answer := refused('NOT_REVERSIBLE');
  elsif original.amount is null and p_body ? 'amount_minor' then answer := refused('REVERSAL_NOT_DIVISIBLE');
  elsif amount > 0 then answer := refused('REVERSAL_EXCEEDS_ORIGINAL'); -- in several currencies it was taken back as a whole
  elsif p_body ? 'amount_minor' then amount := minor_units(p_body -> 'amount_minor');
  else amount := original.amount - done;
  end if;
  if answer is null and original.amount is not null and (amount = 0 or done + amount > original.amount) then
    answer := refused('REVERSAL_EXCEEDS_ORIGINAL');
  end if;
  if answer is null then
    if original.amount is null then
      select array_agg(e.account_id order by e.n), array_agg(- e.amount order by e.n) into account, amounts from entries e where e.transfer_no = original.no;
    else
      select array_agg(p.account_id), array_agg(p.amount) into account, amounts from reversal_parts(original.no, done, amount) p;
    end if;
    answer := post(p_tenant, call.id, array[call.id], array['{"kind": "reversal"}' || p_body], array_fill(1, array[cardinality(amounts)]), account, amounts,
                   p_overdraw => coalesce((p_body ->> 'overdraw')::boolean, false), p_reverses => original.no, p_reversible => array[false]);
    if answer ->> 'outcome' = 'done' then perform restore_lots(original.no, call.id); end if;
  end if;
  return end_call(p_tenant, p_scope, p_key, 'reverse', call.id, call.hash, answer);
end $$;
comment on function reverse(text, text, text, jsonb) is
  'Takes a transfer back, whole or in parts that never exceed it: {transfer_id, amount_minor?, kind?, reason?, overdraw?, ...}; without an amount, what is left. A capture goes back to the available balance, a spend to the balances and lots it came from. overdraw: also when that takes a balance below its floor, as a chargeback does. Raises RK001, RK030.';

do $$
declare
  t text;
begin
  foreach t in array array['transfers', 'entries'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('revoke all on %I from public', t);
    execute format('create policy owner_all on %I to current_user using (true) with check (true)', t);
    execute format('create policy service_role_all on %I to service_role using (true) with check (true)', t);
    execute format('grant select on %I to service_role, authenticated', t);
  end loop;
end $$;

create policy owner_reads on entries for select to authenticated using (account_id in (select my_account_ids()));

create policy owner_reads on transfers for select to authenticated using (exists (select from entries e where e.transfer_no = transfers.no));

create policy owner_reads on idempotency_keys for select to authenticated using (exists (select from transfers t where t.id = idempotency_keys.id));

grant select (id, key) on idempotency_keys to authenticated;

grant execute on function transfer(text, text, text, jsonb), transfer_batch(text, text, text, jsonb), reverse(text, text, text, jsonb) to kernel_money;
