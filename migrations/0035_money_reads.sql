-- Money, sixth part: what is read: the views that the requirements name, and who may see them.

create view wallet_balances with (security_invoker) as
select a.tenant_id, a.owner_id player_id, a.currency, c.exponent,
       coalesce(sum(a.balance) filter (where a.kind = 'available'), 0) balance_real_available,
       coalesce(sum(a.balance) filter (where a.kind = 'held'), 0) balance_real_pending,
       coalesce(sum(a.balance) filter (where a.kind = 'promo'), 0) balance_bonus_available,
       0::numeric balance_bonus_pending,
       max(a.updated_at) updated_at
  from accounts a join currencies c on c.code = a.currency
 where a.owner_id is not null and a.kind in ('available', 'held', 'promo')
 group by a.tenant_id, a.owner_id, a.currency, c.exponent;
comment on view wallet_balances is 'A wallet a row, from the balances that each movement writes; in minor units, of which exponent says how many decimals they are.';

create view ledger_transactions with (security_invoker) as
select t.id || ':' || e.n id, coalesce(t.reference, t.id::text) tx_id, t.tenant_id, a.owner_id player_id, t.kind as type,
       case when e.amount > 0 then 'credit' else 'debit' end direction, abs(e.amount) amount, a.currency, 'posted' status,
       k.key idempotency_key, t.provider, t.provider_ref, t.provider_event_id, e.created_at, t.event_at, t.id transfer_id,
       e.account_id, a.kind bucket, e.amount signed_amount, e.balance_before, e.balance_after, e.version, e.transfer_no, e.n
  from entries e
  join accounts a on a.id = e.account_id
  join transfers t on t.no = e.transfer_no
  left join idempotency_keys k on k.id = t.key_id;
comment on view ledger_transactions is 'An entry a row, with its transfer, account and key; only posted money has entries. Page it by (transfer_no, n).';

do $$
declare
  t text;
begin
  foreach t in array array['promo_lots', 'promo_moves'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('revoke all on %I from public', t);
    execute format('create policy owner_all on %I to current_user using (true) with check (true)', t);
    execute format('create policy service_role_all on %I to service_role using (true) with check (true)', t);
    execute format('grant select on %I to service_role, authenticated', t);
  end loop;
end $$;

create policy owner_reads on promo_lots for select to authenticated using (account_id in (select my_account_ids()));

create policy owner_reads on promo_moves for select to authenticated using (exists (select from promo_lots l where l.id = lot_id));

grant select on wallet_balances, ledger_transactions to service_role, authenticated;

grant execute on function credit_wallet(text, text, text, jsonb), debit_wallet(text, text, text, jsonb), adjust_wallet(text, text, text, jsonb),
  grant_promo(text, text, text, jsonb), spend(text, text, text, jsonb) to kernel_money;

grant execute on function expire_promo(integer) to kernel_jobs;
