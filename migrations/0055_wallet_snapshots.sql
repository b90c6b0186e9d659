-- Wallets of an existing system: their balances enter the ledger as opening balances, once; whoever overwrites what has moved
-- already shows the dry run that said so, or confirms it.

create function snapshot_plan(p_row legacy_balances, p_force boolean, p_include_pending boolean) returns jsonb
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  available accounts;
  held      accounts;
  pending   numeric;
  delta     numeric;
begin
  select * into available from accounts a where a.id = account_id(p_row.tenant_id, p_row.player_id, p_row.currency, 'available');
  select * into held from accounts a where a.id = account_id(p_row.tenant_id, p_row.player_id, p_row.currency, 'held');
  if p_row.available < 0 or p_row.held < 0 then
    return '{"action": "error", "error": "The legacy balance is below zero."}';
  elsif coalesce(available.version, 0) = 0 and coalesce(held.version, 0) = 0 then
    return jsonb_build_object('action', 'create', 'available', p_row.available::text, 'held', p_row.held::text);
  elsif not p_force then
    return '{"action": "skip"}';
  end if;
  select coalesce(sum(h.amount), 0) into pending from holds h where h.held_id = held.id and h.status = 'pending';
  delta := p_row.available::numeric + p_row.held - available.balance - held.balance;
  if delta = 0 and (pending > 0 or held.balance = p_row.held) then return '{"action": "skip"}';
  elsif pending > 0 and not p_include_pending then return '{"action": "error", "error": "A hold of the wallet is pending."}';
  elsif pending > 0 then return jsonb_build_object('action', 'force', 'delta', delta::text, 'held', '0');
  end if;
  return jsonb_build_object('action', 'force', 'delta', delta::text, 'held', p_row.held::text);
end $$;
comment on function snapshot_plan(legacy_balances, boolean, boolean) is
  'What the backfill would do with a wallet: create (nothing has moved in it yet), skip, force (bring its total to the legacy total), or error. Pending holds stay as they are: what they hold is part of the total.';

create function plan_wallets(p_tenant text, p_force boolean, p_include_pending boolean, p_at text default null) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  at_  text := coalesce(p_at, utc_text(clock_timestamp()));
  plan jsonb;
begin
  perform require_flag('backfill_enabled');
  select jsonb_build_object('scanned', count(*)::text, 'created', (count(*) filter (where p.plan ->> 'action' = 'create'))::text,
      'skipped_exists', (count(*) filter (where p.plan ->> 'action' = 'skip'))::text, 'updated_forced', (count(*) filter (where p.plan ->> 'action' = 'force'))::text,
      'errors', (count(*) filter (where p.plan ->> 'action' = 'error'))::text,
      'hash', at_ || '.' || encode(sha256(convert_to(concat_ws('|', at_, p_tenant, p_force, p_include_pending,
        string_agg(concat_ws('|', l.player_id, l.currency, p.plan::text), E'\n' order by l.player_id, l.currency)), 'UTF8')), 'hex'))
    into plan from legacy_balances l cross join lateral (select snapshot_plan(l, p_force, p_include_pending)) p (plan) where l.tenant_id = p_tenant;
  return plan;
end $$;
comment on function plan_wallets(text, boolean, boolean, text) is
  'A dry run over a tenant''s legacy balances; cannot write. hash stands for the instant and for all that would be done: it is found again as long as nothing has changed. Raises RK050.';

create function begin_wallets(p_tenant text, p_by text, p_force boolean, p_include_pending boolean, p_hash text, p_confirm boolean) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  at_     text;
  opened  text;
  known   boolean := false;
  started data_migrations;
begin
  perform require_flag('backfill_enabled');
  if p_hash ~ '^\d{4}-\d\d-\d\dT[\d:.]+Z\.[0-9a-f]{64}$' then
    at_ := left(p_hash, length(p_hash) - 65);
    known := at_::timestamptz between clock_timestamp() - interval '24 hours' and clock_timestamp() and plan_wallets(p_tenant, p_force, p_include_pending, at_) ->> 'hash' = p_hash;
  end if;
  if p_force and not known and not p_confirm then
    raise exception 'To overwrite wallets, show the hash of a dry run of the last 24 hours since which nothing has changed, or confirm.' using errcode = 'RK055';
  end if;
  opened := new_migration('wallet_snapshots', null, null, p_by, jsonb_build_object('dryRun', false, 'tenant_id', p_tenant,
    'force', p_force, 'include_pending', p_include_pending, 'hash', p_hash, 'confirmed', p_confirm));
  select * into strict started from data_migrations m where m.id = opened;
  return migration_json(started);
end $$;
comment on function begin_wallets(text, text, boolean, boolean, text, boolean) is
  'Opens a backfill of wallets; p_force needs the hash of a matching dry run, or p_confirm. Raises RK050, RK055.';

create function open_snapshot(p_row legacy_balances, p_plan jsonb, p_run text) returns void
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  delta   numeric := coalesce((p_plan ->> 'delta')::numeric, p_row.available::numeric + p_row.held);
  key     text := concat_ws('|', p_run, p_row.player_id, p_row.currency);
  body    jsonb := jsonb_build_object('owner_id', p_row.player_id, 'currency', p_row.currency, 'actor', 'system:backfill', 'metadata', jsonb_build_object('migration_id', p_run));
  answer  jsonb;
  excess  numeric;
begin
  perform open_wallet(p_row.tenant_id, p_row.player_id, p_row.currency);
  if delta <> 0 then
    answer := adjust_wallet(p_row.tenant_id, 'backfill', key, body || jsonb_build_object('direction', case when delta > 0 then 'credit' else 'debit' end, 'amount_minor', abs(delta)::text,
      'kind', 'opening_balance', 'reason', 'The balance of the system before.', 'overdraw', p_plan ->> 'action' = 'force'));
    if answer ->> 'outcome' <> 'done' then raise exception '%', answer ->> 'sentence' using errcode = 'RK054'; end if;
  end if;
  if (p_plan ->> 'held')::bigint > 0 then
    answer := hold(p_row.tenant_id, 'backfill', key || '|held', body || jsonb_build_object('amount_minor', p_plan -> 'held', 'kind', 'opening_balance'));
    if answer ->> 'outcome' <> 'done' then raise exception '%', answer ->> 'sentence' using errcode = 'RK054'; end if;
  end if;
end $$;
comment on function open_snapshot(legacy_balances, jsonb, text) is 'Books an opening balance: all of it to the available balance, and of it what was held as a hold.';

create function backfill_wallets(p_migration text, p_limit integer default 1000) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  job   data_migrations;
  page  legacy_balances[];
  row_  legacy_balances;
  plan  jsonb;
  cause text;
  tally jsonb;
  nth   bigint;
begin
  perform require_flag('backfill_enabled');
  if p_limit < 1 then raise exception 'A batch has at least one wallet.' using errcode = 'RK015'; end if;
  select * into job from data_migrations m where m.id = p_migration and m.type = 'wallet_snapshots' for update;
  if job.id is null then raise exception 'There is no such backfill.' using errcode = 'RK053'; end if;
  if job.status <> 'running' then return migration_json(job); end if;
  tally := coalesce(job.checkpoint, '{"scanned": 0, "created": 0, "skipped_exists": 0, "updated_forced": 0, "errors": 0}');
  page := array(select l from legacy_balances l where l.tenant_id = job.metadata ->> 'tenant_id'
                   and (job.checkpoint is null or (l.player_id, l.currency) > ((job.checkpoint ->> 'player_id')::uuid, job.checkpoint ->> 'currency'))
                 order by l.player_id, l.currency limit least(p_limit, 5000) for update);
  -- all wallets of the batch in the order of ids: no two calls wait for each other
  perform lock_accounts(array(select a.id from accounts a where a.owner_id in (select p.player_id from unnest(page) p)));
  foreach row_ in array page loop
    cause := null;
    begin
      plan := snapshot_plan(row_, (job.metadata ->> 'force')::boolean, (job.metadata ->> 'include_pending')::boolean);
      if plan ->> 'action' in ('create', 'force') then perform open_snapshot(row_, plan, job.id); end if;
      if plan ? 'error' then cause := plan ->> 'error'; end if;
    exception when others then
      get stacked diagnostics cause = message_text;
    end;
    nth := case when cause is not null then 5 else array_position(array['create', 'skip', 'force'], plan ->> 'action') + 1 end;
    plan := jsonb_build_object('scanned', (tally ->> 'scanned')::bigint + 1);
    select tally || plan || jsonb_build_object(c.name, (tally ->> c.name)::bigint + 1) into tally
      from (select (array['scanned', 'created', 'skipped_exists', 'updated_forced', 'errors'])[nth] name) c;
    if cause is not null then
      insert into data_migration_items (migration_id, nth, item, attempts, status, last_error)
      values (job.id, (tally ->> 'scanned')::bigint, row_.player_id || '|' || row_.currency, 1, 'dead', left(cause, 1000));
    end if;
  end loop;
  update data_migrations m set checkpoint = tally || case when cardinality(page) > 0 then jsonb_build_object('player_id', row_.player_id, 'currency', row_.currency) else '{}' end,
         processed_count = (tally ->> 'scanned')::bigint - (tally ->> 'errors')::bigint, error_count = (tally ->> 'errors')::bigint, total_count = (tally ->> 'scanned')::bigint,
         updated_at = clock_timestamp(), completed_at = case when cardinality(page) < least(p_limit, 5000) then clock_timestamp() end,
         status = case when cardinality(page) = least(p_limit, 5000) then 'running' when tally ->> 'errors' <> '0' then 'failed' else 'completed' end,
         error = case when tally ->> 'errors' <> '0' then (tally ->> 'errors') || ' wallets were left out.' end
   where m.id = job.id returning * into job;
  return migration_json(job);
end $$;
comment on function backfill_wallets(text, integer) is
  'The next batch of wallets in one commit, by the order of their keys; a wallet that fails is noted and left out, the others go on. Raises RK050, RK053, RK015.';

grant execute on function plan_wallets(text, boolean, boolean, text), begin_wallets(text, text, boolean, boolean, text, boolean), backfill_wallets(text, integer) to kernel_jobs;
