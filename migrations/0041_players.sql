-- Players: who owns a wallet, what is known about them, the balance they have in a system that is being replaced, and the
-- limits of their tenant.

create table players (
  id             uuid primary key,
  tenant_id      text not null check (tenant_id ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  email_verified boolean not null default false,
  sms_verified   boolean not null default false,
  kyc_status     text not null default 'none' check (kyc_status in ('none', 'pending', 'approved', 'rejected')),
  kyc_reason     text,
  kyc_decided_by text,
  kyc_decided_at timestamptz,
  created_at     timestamptz not null default clock_timestamp()
);
create index players_by_tenant on players (tenant_id, created_at, id);
comment on table players is 'Owners of wallets; id is the subject of their token. A player belongs to one tenant for ever. Each request of money locks its row, so that a player''s limits are counted one request at a time.';

create trigger players_fixed before update of id, tenant_id, created_at on players for each statement execute function append_only();

create trigger players_no_delete before delete or truncate on players for each statement execute function append_only();

create table legacy_balances (
  tenant_id  text not null,
  player_id  uuid not null,
  currency   text not null references currencies,
  available  bigint not null,
  held       bigint not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, player_id, currency)
);
comment on table legacy_balances is 'Balances of the system that the ledger replaces, imported. While ledger_enforce_balance is off such a row decides about funds; it is moved along with every movement, so that the flag can be switched back.';

create table money_policies (
  tenant_id                      text primary key,
  withdrawals_per_minute         integer check (withdrawals_per_minute > 0),
  daily_deposit_units            bigint check (daily_deposit_units >= 0),
  daily_withdrawal_units         bigint check (daily_withdrawal_units >= 0),
  unverified_daily_deposit_units bigint check (unverified_daily_deposit_units >= 0),
  payout_retries                 integer check (payout_retries >= 0),
  payout_cooldown_s              integer check (payout_cooldown_s >= 0)
);
comment on table money_policies is 'Where a tenant''s limits differ from the defaults of money_policy(); null: the default. Units are whole units of a currency, a player and UTC day.';

create function money_policy(p_tenant text) returns money_policies
language sql stable security definer set search_path = pg_catalog, public as $$
  select row(p_tenant, coalesce(m.withdrawals_per_minute, 300), coalesce(m.daily_deposit_units, 1000000), coalesce(m.daily_withdrawal_units, 1000000),
             coalesce(m.unverified_daily_deposit_units, 100), coalesce(m.payout_retries, 3), coalesce(m.payout_cooldown_s, 60))::money_policies
    from (values (1)) one left join money_policies m on m.tenant_id = p_tenant
$$;
comment on function money_policy(text) is 'The limits in force for a tenant. Defaults: 300 withdrawals a minute and player; 1,000,000 units deposited and as many withdrawn a day and player, of which 100 deposited before KYC is approved; 3 retries of a payout, 60 s apart.';

create function set_money_policy(p_tenant text, p_policy jsonb, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  delete from money_policies m where m.tenant_id = p_tenant;
  insert into money_policies select (jsonb_populate_record(null::money_policies, p_policy || jsonb_build_object('tenant_id', p_tenant))).*;
  perform audit(p_actor, 'money_policy', 'tenant', p_tenant, null, p_policy);
  return to_jsonb(money_policy(p_tenant));
end $$;
comment on function set_money_policy(text, jsonb, text) is 'Replaces the limits of a tenant; what the policy does not name has its default. Audited as money_policy. Raises 23514.';

create function declined(p_code text, p_more jsonb default '{}') returns jsonb
language sql immutable parallel safe
return refused(p_code) || p_more || jsonb_strip_nulls(jsonb_build_object('sentence', coalesce(refused(p_code) ->> 'sentence', case p_code
  when 'PLAYER_NOT_FOUND' then 'There is no such player; a player registers first.'
  when 'PLAYER_OF_OTHER_TENANT' then 'The player is registered with another tenant.'
  when 'AUTH_UNVERIFIED' then 'The player''s e-mail address and telephone must be verified first.'
  when 'LIMIT_EXCEEDED' then 'The daily limit would be exceeded.'
  when 'PAYMENT_METHOD_NOT_ALLOWED' then 'This payment method is not allowed.'
  when 'WITHDRAW_METHOD_NOT_ALLOWED' then 'This method of withdrawal is not allowed.'
  when 'KYC_DEPOSIT_LIMIT' then 'The daily limit of players without an approved identity would be exceeded.'
  when 'KYC_REQUIRED_FOR_WITHDRAWAL' then 'The player''s identity must be approved before a withdrawal.'
  when 'VELOCITY_LIMIT_EXCEEDED' then 'Too many withdrawals within a minute.'
  when 'TX_NOT_FOUND' then 'There is no such withdrawal.'
  when 'INVALID_ACTION' then 'The action must be approve or reject.'
  when 'FOUR_EYES' then 'Whoever asked for it cannot decide about it.'
  when 'ILLEGAL_TRANSACTION_STATE_TRANSITION' then 'The withdrawal cannot change to this state.'
  when 'INVALID_STATE_TRANSITION' then 'The withdrawal is not in a state that allows this.'
  when 'PAYMENT_RETRY_LIMIT_EXCEEDED' then 'The payout was retried as often as allowed.'
  when 'PAYMENT_COOLDOWN_ACTIVE' then 'The payout failed a moment ago; wait before the next try.' end)));
comment on function declined(text, jsonb) is 'A refusal of a player''s or a reviewer''s call as an answer, with what more it says; like refused(), it is returned and never raised.';

create function staff_tenant() returns text
language sql stable parallel safe set search_path = pg_catalog as $$ select nullif(current_setting('app.staff_tenant', true), '') $$;
comment on function staff_tenant() is 'The tenant whose rows a member of finance reads, set by the reading function itself from the verified token; null for everybody else.';

create function player_row(p players) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('player_id', p.id, 'tenant_id', p.tenant_id, 'email_verified', p.email_verified, 'sms_verified', p.sms_verified,
    'kyc_status', p.kyc_status, 'kyc_reason', p.kyc_reason, 'kyc_decided_by', p.kyc_decided_by, 'kyc_decided_at', utc_text(p.kyc_decided_at), 'created_at', utc_text(p.created_at))
$$;
comment on function player_row(players) is 'A player as answers show it.';

create function register_player(p_player uuid, p_tenant text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  player players;
begin
  insert into players (id, tenant_id) values (p_player, coalesce(p_tenant, 'default')) on conflict (id) do nothing;
  if found then perform audit(p_player::text, 'player_registered', 'player', p_player::text, null, jsonb_build_object('tenant_id', coalesce(p_tenant, 'default'))); end if;
  select * into strict player from players p where p.id = p_player;
  if player.tenant_id <> p_tenant then return declined('PLAYER_OF_OTHER_TENANT'); end if;
  return jsonb_build_object('outcome', 'done', 'player', player_row(player));
end $$;
comment on function register_player(uuid, text) is 'Registers a player with a tenant, by default the tenant default; repeatable. Refused with another tenant.';

create function submit_kyc(p_player uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  player players;
begin
  update players p set kyc_status = 'pending' where p.id = p_player and p.kyc_status in ('none', 'rejected');
  if found then perform audit(p_player::text, 'kyc_submitted', 'player', p_player::text, null, '{}'); end if;
  select * into player from players p where p.id = p_player;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  return jsonb_build_object('outcome', 'done', 'player', player_row(player));
end $$;
comment on function submit_kyc(uuid) is 'Asks for the approval of a player''s identity; repeatable, and what is approved stays so.';

create function change_player(p_tenant text, p_actor text, p_player uuid, p_change jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  player players;
begin
  select * into player from players p where p.id = p_player and p.tenant_id = p_tenant for update;
  if player.id is null then return declined('PLAYER_NOT_FOUND'); end if;
  if p_actor = p_player::text then return declined('FOUR_EYES'); end if;
  if p_change ->> 'kyc_status' = 'rejected' and btrim(coalesce(p_change ->> 'reason', '')) = '' then return declined('REASON_REQUIRED'); end if;
  update players p set
      email_verified = coalesce((p_change ->> 'email_verified')::boolean, p.email_verified),
      sms_verified = coalesce((p_change ->> 'sms_verified')::boolean, p.sms_verified),
      kyc_status = coalesce(p_change ->> 'kyc_status', p.kyc_status),
      kyc_reason = case when p_change ? 'kyc_status' then p_change ->> 'reason' else p.kyc_reason end,
      kyc_decided_by = case when p_change ? 'kyc_status' then p_actor else p.kyc_decided_by end,
      kyc_decided_at = case when p_change ? 'kyc_status' then clock_timestamp() else p.kyc_decided_at end
   where p.id = p_player returning * into player;
  perform audit(p_actor, case when p_change ? 'kyc_status' then 'kyc_decision' else 'player_verification' end, 'player', p_player::text, null, p_change);
  return jsonb_build_object('outcome', 'done', 'player', player_row(player));
end $$;
comment on function change_player(text, text, uuid, jsonb) is
  'What finance knows of a player of its tenant: {kyc_status: approved|rejected, reason} or {email_verified?, sms_verified?}. A rejection needs a reason, and nobody decides about themselves. Audited as kyc_decision or player_verification.';

create function import_legacy_balances(p_tenant text, p_actor text, p_rows jsonb) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  imported bigint;
begin
  insert into legacy_balances (tenant_id, player_id, currency, available, held)
  select p_tenant, (r ->> 'player_id')::uuid, coalesce(r ->> 'currency', 'USD'), (r ->> 'available')::bigint, coalesce((r ->> 'held')::bigint, 0)
    from jsonb_array_elements(p_rows) r order by 2, 3
  on conflict (tenant_id, player_id, currency) do update set available = excluded.available, held = excluded.held, updated_at = clock_timestamp();
  get diagnostics imported = row_count;
  perform audit(p_actor, 'legacy_balances_imported', 'tenant', p_tenant, null, jsonb_build_object('rows', imported));
  return imported;
end $$;
comment on function import_legacy_balances(text, text, jsonb) is
  'Takes over balances of the system that is being replaced: [{player_id, currency?, available, held?}], in minor units; a row that is known is replaced. Audited. Raises 23503 (no such currency), 21000 (a wallet twice).';

create function move_legacy(p_tenant text, p_player uuid, p_currency text, p_available bigint, p_held bigint) returns void
language sql volatile set search_path = pg_catalog, public as $$
  update legacy_balances l set available = l.available + p_available, held = l.held + p_held, updated_at = clock_timestamp()
   where l.tenant_id = p_tenant and l.player_id = p_player and l.currency = p_currency
$$;
comment on function move_legacy(text, uuid, text, bigint, bigint) is 'Moves a legacy balance, where there is one, along with the ledger.';

create function money_flags(p_tenant text, p_player uuid) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_object_agg(f, flag_on(f, p_tenant, p_player::text))
    from unnest('{ledger_shadow_write,ledger_enforce_balance,ledger_balance_mismatch_log,allow_test_payment_methods}'::text[]) f
$$;
comment on function money_flags(text, uuid) is 'The flags that decide about a player''s money, evaluated in one snapshot: what a transaction records.';

select secure_table('players', false), secure_table('legacy_balances', false), secure_table('money_policies', false);

create policy reads on players for select to authenticated using (id = signed_in_user() or tenant_id = staff_tenant());

create policy reads on legacy_balances for select to authenticated using (player_id = signed_in_user() or tenant_id = staff_tenant());

grant select on players, legacy_balances to authenticated;

grant execute on function staff_tenant(), player_row(players) to authenticated, service_role;

grant execute on function register_player(uuid, text), submit_kyc(uuid), change_player(text, text, uuid, jsonb), import_legacy_balances(text, text, jsonb),
  money_policy(text), set_money_policy(text, jsonb, text), flag_on(text, text, text), sign_in(uuid, boolean) to kernel_money;
