-- What the doors of money read, each function signing its caller in first; and the correction by a person.

create function read_wallet(p_player uuid, p_currency text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  player players;
begin
  select * into player from players p where p.id = p_player;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  return jsonb_build_object('outcome', 'done') || shown_balance(player.tenant_id, player.id, p_currency);
end $$;
comment on function read_wallet(uuid, text) is 'A player''s own balance of a currency, in minor units.';

create function read_player(p_tenant text, p_player uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  player players;
begin
  select * into player from players p where p.id = p_player and p.tenant_id = p_tenant;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  return jsonb_build_object('outcome', 'done', 'player', player_row(player), 'wallets', (
    select coalesce(jsonb_agg(shown_balance(p_tenant, p_player, c.currency) || jsonb_build_object('ledger', (
             select to_jsonb(b) - 'tenant_id' - 'player_id' - 'currency' from (select w.tenant_id, w.player_id, w.currency, w.balance_real_available::text, w.balance_real_pending::text,
               w.balance_bonus_available::text, w.balance_bonus_pending::text, utc_text(w.updated_at) updated_at from wallet_balances w) b
              where b.tenant_id = p_tenant and b.player_id = p_player and b.currency = c.currency),
             'legacy', (select jsonb_build_object('available', l.available::text, 'held', l.held::text) from legacy_balances l
              where l.tenant_id = p_tenant and l.player_id = p_player and l.currency = c.currency)) order by c.currency), '[]')
      from (select a.currency from accounts a where a.owner_id = p_player and a.tenant_id = p_tenant
            union select l.currency from legacy_balances l where l.player_id = p_player and l.tenant_id = p_tenant) c));
end $$;
comment on function read_player(text, uuid) is 'A player of the tenant with each wallet: what is shown, what the ledger holds, what the legacy row says.';

create function list_player_transactions(p_player uuid, p_limit integer, p_offset integer) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform sign_in(p_player, false);
  return jsonb_build_object('items', (select coalesce(jsonb_agg(x.item order by x.created_at desc, x.id desc), '[]') from (
      select * from (select d.id, d.created_at, deposit_row(d) item from deposits d where d.player_id = p_player
                      union all select w.id, w.created_at, withdrawal_row(w) from withdrawals w where w.player_id = p_player) u
       order by u.created_at desc, u.id desc limit p_limit offset p_offset) x),
    'total', (select count(*) from deposits d where d.player_id = p_player) + (select count(*) from withdrawals w where w.player_id = p_player));
end $$;
comment on function list_player_transactions(uuid, integer, integer) is 'A player''s own deposits and withdrawals, newest first.';

create function list_withdrawals(p_tenant text, p_filter jsonb, p_limit integer, p_offset integer) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  ascending boolean := p_filter ->> 'sort' = 'created_at_asc';
  wanted    text := 'from withdrawals w where w.tenant_id = $1 and ($2 ->> ''state'' is null or w.state = $2 ->> ''state'')
    and ($2 ->> ''player_id'' is null or w.player_id = ($2 ->> ''player_id'')::uuid)
    and ($2 ->> ''date_from'' is null or w.created_at >= ($2 ->> ''date_from'')::timestamptz)
    and ($2 ->> ''date_to'' is null or w.created_at < ($2 ->> ''date_to'')::timestamptz)
    and ($2 ->> ''min_amount'' is null or w.amount >= ($2 ->> ''min_amount'')::numeric)
    and ($2 ->> ''max_amount'' is null or w.amount <= ($2 ->> ''max_amount'')::numeric)';
  answer    jsonb;
begin
  perform sign_in(null, false), set_config('app.staff_tenant', p_tenant, true);
  execute format('select jsonb_build_object(''items'', (select coalesce(jsonb_agg(withdrawal_row(p.w) || jsonb_build_object(''cursor'', utc_text((p.w).created_at) || '' '' || (p.w).id)
      order by (p.w).created_at %2$s, (p.w).id %2$s), ''[]'') from (select w %1$s and ($2 ->> ''after'' is null or (w.created_at, w.id) %3$s (($2 ->> ''after'')::timestamptz, ($2 ->> ''after_id'')::uuid))
      order by w.created_at %2$s, w.id %2$s limit $3 offset $4) p), ''total'', (select count(*) %1$s))', wanted, case when ascending then 'asc' else 'desc' end, case when ascending then '>' else '<' end)
    into answer using p_tenant, p_filter, p_limit, p_offset;
  return answer;
end $$;
comment on function list_withdrawals(text, jsonb, integer, integer) is
  'A page of the tenant''s withdrawals: {state?, player_id?, date_from?, date_to?, min_amount?, max_amount?, sort?, after?, after_id?}; date_to is excluded. Each item carries the cursor after it.';

create function read_withdrawal(p_tenant text, p_tx uuid, p_attempt uuid default null) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  w withdrawals;
begin
  perform sign_in(null, false), set_config('app.staff_tenant', p_tenant, true);
  select * into w from withdrawals x where x.id = p_tx and x.tenant_id = p_tenant;
  if w.id is null then return null; end if;
  return jsonb_build_object('transaction', withdrawal_row(w),
    'payout_attempts', (select coalesce(jsonb_agg(attempt_row(a) order by a.attempt_no), '[]') from payout_attempts a where a.withdraw_tx_id = w.id),
    'payout_attempt', (select attempt_row(a) from payout_attempts a where a.id = p_attempt),
    'order', (select jsonb_build_object('key', 'tx_' || w.id || ':' || a.idempotency_key, 'tx_id', w.id, 'tenant_id', w.tenant_id, 'player_id', w.player_id,
                'amount_minor', w.amount::text, 'currency', w.currency) from payout_attempts a where a.id = p_attempt));
end $$;
comment on function read_withdrawal(text, uuid, uuid) is 'A withdrawal of the tenant with its payout attempts, one of them named with the order that its provider is given; null when there is none.';

create function adjust_player(p_tenant text, p_actor text, p_key text, p_body jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  delta  numeric := (p_body ->> 'delta_minor')::numeric;
  player players;
  answer jsonb;
begin
  select * into player from players p where p.id = (p_body ->> 'player_id')::uuid and p.tenant_id = p_tenant;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  if p_actor = player.id::text then return declined('FOUR_EYES'); end if;
  perform from legacy_balances l where l.tenant_id = p_tenant and l.player_id = player.id and l.currency = p_body ->> 'currency' for no key update;
  answer := adjust_wallet(p_tenant, 'finance:' || p_actor, p_key, jsonb_build_object('owner_id', player.id, 'currency', p_body ->> 'currency', 'direction',
    case when delta < 0 then 'debit' else 'credit' end, 'amount_minor', abs(delta)::text, 'reason', p_body ->> 'reason', 'actor', p_actor, 'kind', 'manual_adjust', 'provider', 'admin'));
  if answer ->> 'outcome' = 'done' and not answer ? 'replayed' then
    perform move_legacy(p_tenant, player.id, p_body ->> 'currency', delta::bigint, 0);
    perform audit(p_actor, 'FIN_LEDGER_ADJUSTED', 'player', player.id::text, null, p_body || jsonb_build_object('after', shown_balance(p_tenant, player.id, p_body ->> 'currency')));
  end if;
  return answer || jsonb_build_object('balance', shown_balance(p_tenant, player.id, p_body ->> 'currency'));
end $$;
comment on function adjust_player(text, text, text, jsonb) is
  'A correction of a player''s balance by a person of finance: {player_id, delta_minor, currency, reason}; below zero takes away. Nobody adjusts their own. Raises RK001, RK030.';

grant execute on function read_wallet(uuid, text), read_player(text, uuid), list_player_transactions(uuid, integer, integer), list_withdrawals(text, jsonb, integer, integer),
  read_withdrawal(text, uuid, uuid), adjust_player(text, text, text, jsonb) to kernel_money;
