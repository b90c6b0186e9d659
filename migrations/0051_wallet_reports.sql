-- Revenue assurance, second part: the run that goes over all wallets in pages, and the immutable reports of it.

create function require_flag(p_flag text) returns void
language plpgsql stable set search_path = pg_catalog, public as $$
begin
  if not flag_on(p_flag, 'default') then
    raise exception 'This job is switched off by the flag %.', p_flag using errcode = 'RK050';
  end if;
end $$;
comment on function require_flag(text) is 'Stops a job before it does anything while its flag is off. Raises RK050.';

create function run_json(p_run reconciliation_runs) returns jsonb
language sql stable set search_path = pg_catalog, public
return p_run.stats_json || jsonb_build_object('run_id', p_run.id, 'date', p_run.run_date, 'run_no', p_run.run_no, 'status', p_run.status, 'policy', p_run.policy,
  'error', p_run.error_json, 'created_at', utc_text(p_run.created_at), 'updated_at', utc_text(p_run.updated_at));
comment on function run_json(reconciliation_runs) is 'A run of wallet_ledger as it is answered: its totals, and where it stands.';

create function begin_reconciliation(p_date date, p_by text, p_key text default null, p_policy text default 'ledger_is_right') returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  today  date := (clock_timestamp() at time zone 'UTC')::date;
  wanted date := coalesce(p_date, today);
  run    reconciliation_runs;
begin
  perform require_flag('reconciliation_enabled');
  if wanted not between date '2020-01-01' and today then
    raise exception 'The date must not lie in the future, nor before 2020.' using errcode = 'RK015';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('wallet_ledger', 50));
  select * into run from reconciliation_runs r where r.provider = 'wallet_ledger' and r.idempotency_key = p_key;
  if run.id is not null and run.status in ('completed', 'failed') then return run_json(run); end if;
  select * into run from reconciliation_runs r where r.provider = 'wallet_ledger' and r.status = 'running' order by r.created_at limit 1;
  if run.id is not null and run.lease_until > clock_timestamp() then
    raise exception 'A reconciliation of the wallets is at work already.' using errcode = 'RK052';
  elsif run.id is not null and run.run_date = wanted then
    update reconciliation_runs r set lease_until = clock_timestamp() + interval '1 minute', updated_at = clock_timestamp() where r.id = run.id returning * into run;
    return run_json(run);
  elsif run.id is not null then -- left behind for another date: it is closed, for its day will not come again
    update reconciliation_runs r set status = 'failed', error_json = '{"error": "It stopped half-way and was not taken up on its date."}', updated_at = clock_timestamp() where r.id = run.id;
  end if;
  insert into reconciliation_runs (provider, status, run_date, run_no, policy, window_start, window_end, idempotency_key, requested_by, lease_until, stats_json)
  select 'wallet_ledger', 'running', wanted, coalesce(max(r.run_no), 0) + 1, p_policy, wanted::timestamp at time zone 'UTC', (wanted + 1)::timestamp at time zone 'UTC',
         p_key, p_by, clock_timestamp() + interval '1 minute',
         '{"total": "0", "accounts": "0", "clean": "0", "adjusted": "0", "errors": "0", "total_delta": "0", "digest": ""}'
    from reconciliation_runs r where r.provider = 'wallet_ledger' and r.run_date = wanted
  returning * into run;
  return run_json(run);
end $$;
comment on function begin_reconciliation(date, text, text, text) is
  'Begins a run over all wallets, or takes up the one of that date whose worker has gone; p_date null: today, in UTC. The same p_key gives the same run. Raises RK050 (reconciliation_enabled is off), RK015 (date), RK052 (one is at work).';

create function release_reconciliation(p_run uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  update reconciliation_runs r set lease_until = clock_timestamp(), updated_at = clock_timestamp() where r.id = p_run and r.status = 'running';
  return found;
end $$;
comment on function release_reconciliation(uuid) is 'A worker whose time is over lets the run go: the next call takes it up at once.';

create function report(p_run reconciliation_runs, p_account uuid, p_body jsonb) returns uuid
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  wanted uuid := derived_uuid('report|' || p_run.id || '|' || coalesce(p_account::text, 'run'));
  body   jsonb;
begin
  body := p_body || jsonb_build_object('report_id', wanted, 'run_id', p_run.id, 'date', p_run.run_date, 'run_no', p_run.run_no::text, 'account_id', p_account,
    'policy', p_run.policy, 'created_at', utc_text(clock_timestamp()), 'previous_checksum',
    (select r.checksum from reconciliation_reports r where r.account_id is not distinct from p_account order by r.created_at desc, r.report_date desc, r.run_no desc limit 1));
  insert into reconciliation_reports (id, run_id, account_id, report_date, run_no, body, checksum)
  values (wanted, p_run.id, p_account, p_run.run_date, p_run.run_no, body, encode(sha256(convert_to(canonical_json(body), 'UTF8')), 'hex'));
  return wanted;
end $$;
comment on function report(reconciliation_runs, uuid, jsonb) is 'Writes a report: its body with who, when and the checksum of the one before it, and the checksum of that. Called by reconcile_wallets only.';

create function report_account(p_run reconciliation_runs, p_fact account_fact, p_after account_fact, p_actions text[], p_error text) returns uuid
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  booking uuid;
begin
  select t.id into booking from transfers t where t.id in (derived_uuid('reconcile|' || p_run.id || '|' || p_fact.account_id), derived_uuid('release|' || p_run.id || '|' || p_fact.account_id));
  return report(p_run, p_fact.account_id, jsonb_build_object(
    'tenant_id', p_fact.tenant_id, 'owner_id', p_fact.owner_id, 'currency', p_fact.currency, 'kind', p_fact.kind,
    'wallet_before', p_fact.balance::text, 'wallet_after', p_after.balance::text, 'ledger_sum', p_fact.ledger_sum::text, 'ledger_sum_after', p_after.ledger_sum::text,
    'delta', (coalesce(p_fact.balance, 0) - p_fact.ledger_sum)::text, 'ledger_count', p_fact.ledger_count::text,
    'version_before', p_fact.version::text, 'version_after', p_after.version::text, 'expected', p_fact.expected::text,
    'drift', to_jsonb(p_fact.drift), 'actions', to_jsonb(p_actions), 'error', p_error, 'transfer_id', booking,
    'status', case when p_error is not null then 'error' when p_fact.drift = '{}' then 'clean' else 'adjusted' end));
end $$;
comment on function report_account(reconciliation_runs, account_fact, account_fact, text[], text) is 'The report of an account: what it was, what was done, what it is.';

create function heal_page(p_run reconciliation_runs, p_facts account_fact[], out adjusted bigint, out errors bigint, out total_delta numeric)
language plpgsql volatile set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  owners uuid[] := array(select distinct f.owner_id from unnest(p_facts) f);
  locked uuid[];
  before account_fact;
  after_ account_fact;
  done   text[];
  cause  text;
  state  text;
  healed text[] := '{}';
  failed text[] := '{}';
begin
  total_delta := 0;
  -- holds before accounts, as capture and void lock them, and the accounts of all wallets at once in the order of ids
  locked := array(select h.id from holds h where h.status = 'pending' and h.held_id in (select f.account_id from unnest(p_facts) f where 'held' = any(f.drift))
                   order by h.id for no key update);
  perform lock_accounts(array(select a.id from accounts a where a.owner_id = any(owners)));
  for before in select * from account_facts(owners) f where f.account_id in (select d.account_id from unnest(p_facts) d) order by f.account_id loop
    continue when before.drift = '{}';
    done := '{}'; cause := null; after_ := before;
    begin
      done := heal_account(p_run.id, p_run.policy, before, locked);
      insert into account_repairs (id, report_id, account_id, balance_before, balance_after, version_before, version_after, transfer_id, actions)
      select derived_uuid('repair|' || p_run.id || '|' || a.id), derived_uuid('report|' || p_run.id || '|' || a.id), a.id, before.balance, a.balance, before.version, a.version,
             (select t.id from transfers t where t.id in (derived_uuid('reconcile|' || p_run.id || '|' || a.id), derived_uuid('release|' || p_run.id || '|' || a.id))), done
        from accounts a where a.id = before.account_id;
      select * into strict after_ from account_facts(array[before.owner_id]) f where f.account_id = before.account_id;
      if after_.drift <> '{}' then
        raise exception 'It still differs in % after the heal: a person must look.', array_to_string(after_.drift, ', ') using errcode = 'RK051';
      end if;
    exception when others then
      get stacked diagnostics cause = message_text, state = returned_sqlstate;
      cause := case when state = 'RK051' then cause else 'SQLSTATE ' || state end;
      after_ := before; done := '{}';
    end;
    perform report_account(p_run, before, after_, done, cause);
    total_delta := total_delta + abs(coalesce(before.balance, 0) - before.ledger_sum);
    if cause is null then healed := healed || concat_ws('|', before.tenant_id, before.owner_id, before.currency);
    else failed := failed || concat_ws('|', before.tenant_id, before.owner_id, before.currency); end if;
  end loop;
  select count(distinct w) into errors from unnest(failed) w;
  select count(distinct w) into adjusted from unnest(healed) w where w <> all (failed);
end $$;
comment on function heal_page(reconciliation_runs, account_fact[]) is
  'Heals what has drifted of a page under the locks of its wallets, whose facts it takes anew after them; each heal stands alone and is undone when the account is not well afterwards. Counts are of wallets.';

create function reconcile_wallets(p_run uuid, p_limit integer default 2000, p_every_wallet boolean default false) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off as $$
declare
  run     reconciliation_runs;
  owners  uuid[];
  facts   account_fact[];
  one     account_fact;
  healed  record;
  digest  text;
  totals  jsonb;
  ended   boolean;
begin
  select * into run from reconciliation_runs r where r.id = p_run and r.provider = 'wallet_ledger' for update;
  if run.status is distinct from 'running' then
    raise exception 'This run is not at work.' using errcode = 'RK051';
  end if;
  owners := array(select distinct a.owner_id from accounts a where a.owner_id > coalesce(run.cursor, '00000000-0000-0000-0000-000000000000')
                   order by 1 limit least(greatest(p_limit, 1), 10000));
  facts := array(select f from account_facts(owners) f);
  select coalesce(h.adjusted, 0) adjusted, coalesce(h.errors, 0) errors, coalesce(h.total_delta, 0) total_delta into healed
    from (select array_agg(f) drifted from unnest(facts) f where f.drift <> '{}') d
    left join lateral heal_page(run, d.drifted) h on d.drifted is not null;
  if healed.adjusted + healed.errors > 0 then
    facts := array(select f from account_facts(owners) f);
  end if;
  if p_every_wallet then
    for one in select * from unnest(facts) f where f.drift = '{}'
                 and not exists (select from reconciliation_reports r where r.id = derived_uuid('report|' || p_run || '|' || f.account_id)) order by f.account_id loop
      perform report_account(run, one, one, '{}', null);
    end loop;
  end if;
  ended := cardinality(owners) < least(greatest(p_limit, 1), 10000);
  select encode(sha256(convert_to(concat_ws(E'\n', run.stats_json ->> 'digest', string_agg(concat_ws('|', f.account_id, f.balance, f.version, f.ledger_sum, f.ledger_count), E'\n' order by f.account_id)), 'UTF8')), 'hex')
    into digest from unnest(facts) f;
  select jsonb_build_object('total', (s.total + (run.stats_json ->> 'total')::bigint)::text, 'accounts', (cardinality(facts) + (run.stats_json ->> 'accounts')::bigint)::text,
           'adjusted', (healed.adjusted + (run.stats_json ->> 'adjusted')::bigint)::text, 'errors', (healed.errors + (run.stats_json ->> 'errors')::bigint)::text,
           'total_delta', (healed.total_delta + (run.stats_json ->> 'total_delta')::numeric)::text,
           'digest', case when owners = '{}' then run.stats_json ->> 'digest' else digest end)
    into totals from (select count(*) total from (select from unnest(facts) f group by f.tenant_id, f.owner_id, f.currency) w) s;
  totals := totals || jsonb_build_object('clean', ((totals ->> 'total')::bigint - (totals ->> 'adjusted')::bigint - (totals ->> 'errors')::bigint)::text);
  if ended then
    perform report(run, null, totals || jsonb_build_object('status', case when totals ->> 'errors' <> '0' then 'error' when totals ->> 'adjusted' <> '0' then 'adjusted' else 'clean' end));
  end if;
  update reconciliation_runs r set cursor = coalesce(owners[cardinality(owners)], r.cursor), page = r.page + 1, stats_json = totals, updated_at = clock_timestamp(),
         lease_until = clock_timestamp() + interval '1 minute', status = case when ended then 'completed' else 'running' end
   where r.id = p_run returning * into run;
  return run_json(run);
end $$;
comment on function reconcile_wallets(uuid, integer, boolean) is
  'One page of a run in one commit: compares, heals, reports, and moves the cursor; the last page ends the run with its own report. digest: SHA-256 over the accounts as they are left (id|balance|version|sum|count, a line each), chained from page to page. p_every_wallet: a report for each account, not only for those that had drifted. Raises RK051.';

create function broken_reports() returns table (report_id uuid, reason text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select r.id, case when r.checksum <> encode(sha256(convert_to(canonical_json(r.body), 'UTF8')), 'hex') then 'checksum'
                    when r.body ->> 'previous_checksum' is distinct from r.previous then 'chain' else 'columns' end
    from (select r.*, lag(r.checksum) over (partition by r.account_id order by r.created_at, r.report_date, r.run_no) previous from reconciliation_reports r) r
   where r.checksum <> encode(sha256(convert_to(canonical_json(r.body), 'UTF8')), 'hex') or r.body ->> 'previous_checksum' is distinct from r.previous
      or (r.body ->> 'report_id', r.body ->> 'run_id', r.body ->> 'account_id', r.body ->> 'date', r.body ->> 'run_no')
         is distinct from (r.id::text, r.run_id::text, r.account_id::text, r.report_date::text, r.run_no::text)
$$;
comment on function broken_reports() is 'Reports that are not what was written: body against checksum, checksum of the report before it, columns against body.';

create function list_reports(p_date date, p_run_no integer default null, p_account uuid default null, p_limit integer default 50) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select r.body || jsonb_build_object('checksum', r.checksum) from reconciliation_reports r
   where (p_date is null or r.report_date = p_date) and (p_run_no is null or r.run_no = p_run_no) and (p_account is null or r.account_id = p_account)
   order by r.report_date desc, r.run_no desc, r.account_id nulls first limit least(greatest(p_limit, 1), 200)
$$;
comment on function list_reports(date, integer, uuid, integer) is 'Reports, the newest run first and in it the report of the run itself.';

insert into job_heartbeats (job, interval_s) values ('assure', 86400);

select secure_table(t, false) from unnest(array['reconciliation_runs', 'reconciliation_reports', 'account_repairs']::regclass[]) t;

grant execute on function begin_reconciliation(date, text, text, text), reconcile_wallets(uuid, integer, boolean), release_reconciliation(uuid) to kernel_jobs;

grant execute on function list_reports(date, integer, uuid, integer), broken_reports(), wallet_drift(uuid, integer) to kernel_jobs, kernel_api;
