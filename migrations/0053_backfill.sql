-- Backfills: events that were missed are applied again, one in a commit, with a result each, attempts that wait longer and longer,
-- and a dead state; what was done is counted where everybody can follow it.

create function take_back(p_event provider_events, p_step jsonb, p_overdraw boolean) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  line   uuid := derived_uuid(p_event.id || '|' || (p_step ->> 'line_id'));
  answer jsonb;
  funds  numeric;
begin
  answer := reverse(p_event.tenant_id, 'provider:' || p_event.provider, concat_ws('|', 'reversal', line, p_event.attempts), jsonb_build_object(
    'transfer_id', p_step -> 'transfer_id', 'amount_minor', p_step -> 'amount_minor', 'kind', case p_event.type when 'ON_REFUND' then 'refund' else 'chargeback' end,
    'overdraw', p_overdraw, 'event_at', p_event.occurred_at, 'provider', p_event.provider, 'provider_ref', left(event_order(p_event.payload), 128),
    'provider_event_id', 'reversal:' || line, 'actor', 'system:backfill', 'reason', p_event.type, 'metadata', jsonb_build_object('event_id', p_event.event_id)));
  if answer ->> 'code' is distinct from 'INSUFFICIENT_FUNDS' then return answer; end if;
  select a.balance into funds from accounts a
   where a.id = account_id(p_event.tenant_id, (p_step ->> 'owner_id')::uuid, p_step ->> 'currency', 'available');
  if funds > 0 then
    answer := answer || jsonb_build_object('hold_id', hold(p_event.tenant_id, 'provider:' || p_event.provider, concat_ws('|', 'hold', line, p_event.attempts), jsonb_build_object(
      'owner_id', p_step -> 'owner_id', 'currency', p_step -> 'currency', 'amount_minor', least(funds, (p_step ->> 'amount_minor')::numeric)::text, 'kind', 'reversal_hold')) -> 'hold_id');
  end if;
  return answer;
end $$;
comment on function take_back(provider_events, jsonb, boolean) is 'Reverses a line; when the wallet cannot bear it and may not go below zero, sets aside what is there and says so.';

create function apply_event(p_event uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  event  provider_events;
  plan   jsonb;
  step   jsonb;
  answer jsonb;
  done   jsonb := '[]';
  held   boolean := false;
begin
  select * into event from provider_events e where e.id = p_event for update;
  if event.processed_at is not null then return coalesce(event.result, '{}') || '{"outcome": "already_processed"}'; end if;
  perform pg_advisory_xact_lock(hashtextextended(concat_ws('|', 'order', event.tenant_id, event.provider, event_order(event.payload)), 52)); -- both events of a line take turns
  event.attempts := event.attempts + 1;
  for step in select jsonb_array_elements(coalesce(event.result -> 'steps', '[]')) loop
    if step ? 'hold_id' then
      perform void(event.tenant_id, 'provider:' || event.provider, concat_ws('|', 'void', step ->> 'hold_id'), jsonb_build_object('hold_id', step -> 'hold_id'));
    end if;
  end loop;
  plan := plan_event(event);
  if plan ? 'error' then raise exception '%', plan ->> 'error' using errcode = 'RK054'; end if;
  for step in select jsonb_array_elements(plan -> 'steps') loop
    answer := null;
    if step ->> 'action' = 'credit' then
      answer := credit_wallet(event.tenant_id, 'provider:' || event.provider, 'line|' || derived_uuid(concat_ws('|', event_order(event.payload), step ->> 'line_id')), jsonb_build_object(
        'owner_id', step -> 'owner_id', 'currency', step -> 'currency', 'amount_minor', step -> 'amount_minor', 'kind', 'purchase', 'event_at', event.occurred_at,
        'provider', event.provider, 'provider_ref', left(event_order(event.payload), 128), 'reference', left(step ->> 'line_id', 200), 'actor', 'system:backfill',
        'metadata', jsonb_build_object('event_id', event.event_id, 'product_id', step -> 'product_id', 'product_version', step -> 'product_version')));
      insert into order_lines (transfer_id, tenant_id, provider, order_id, line_id, owner_id, product_id, product_version, quantity, amount, currency)
      select (answer -> 'transfer_ids' ->> 0)::uuid, event.tenant_id, event.provider, event_order(event.payload), step ->> 'line_id', (step ->> 'owner_id')::uuid,
             step ->> 'product_id', (step ->> 'product_version')::integer, (step ->> 'quantity')::bigint, (step ->> 'amount_minor')::bigint, step ->> 'currency'
       where answer ->> 'outcome' = 'done';
    elsif step ->> 'action' = 'reverse' then
      answer := take_back(event, step, flag_on('allow_negative_balance', event.tenant_id, step ->> 'owner_id'));
    end if;
    if answer ->> 'code' = 'INSUFFICIENT_FUNDS' then held := true;
    elsif answer ->> 'outcome' <> 'done' then raise exception '%', answer ->> 'sentence' using errcode = 'RK054'; end if;
    done := done || jsonb_strip_nulls(step || jsonb_build_object('transfer_id', coalesce(answer -> 'transfer_ids' -> 0, step -> 'transfer_id'), 'hold_id', answer -> 'hold_id'));
  end loop;
  update provider_events e set attempts = event.attempts, last_error = null, next_attempt_at = null, processed_at = case when not held then clock_timestamp() end,
         status = case when held then 'held' when plan ->> 'action' = 'ignore' then 'ignored' else 'processed' end, result = jsonb_build_object('steps', done) where e.id = p_event;
  return jsonb_build_object('outcome', case when held then 'held' else plan ->> 'action' end, 'steps', done);
end $$;
comment on function apply_event(uuid) is
  'Applies an event of a provider in one commit, or says that it was: credits each line of an order once, takes back what a refund or chargeback says. allow_negative_balance off: what a wallet cannot bear is held, and the event stays open. Raises RK054 with the cause.';

create table data_migrations (
  id              text primary key,
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp(),
  completed_at    timestamptz,
  start_date      date,
  end_date        date,
  processed_count bigint not null default 0,
  error_count     bigint not null default 0,
  total_count     bigint not null default 0,
  type            text not null check (type in ('webhook_replay', 'reversal_backfill', 'wallet_snapshots')),
  status          text not null default 'pending' check (status in ('pending', 'running', 'completed', 'failed')),
  created_by      text not null,
  error           text,
  checkpoint      jsonb,
  metadata        jsonb not null default '{}'
);
create index data_migrations_recent on data_migrations (created_at desc, id);
comment on table data_migrations is 'Backfills, each with its counts and how far it came (checkpoint). failed: it has ended, and an item of it is dead.';

create trigger data_migrations_no_delete before delete or truncate on data_migrations for each statement execute function append_only();

create table data_migration_items (
  migration_id    text not null references data_migrations,
  nth             bigint not null,
  item            text not null,
  attempts        integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp(),
  status          text not null default 'pending' check (status in ('pending', 'done', 'held', 'failed', 'dead')),
  result          jsonb,
  last_error      text check (length(last_error) <= 1000),
  primary key (migration_id, nth)
);
create index data_migration_items_due on data_migration_items (migration_id, next_attempt_at, nth) where status in ('pending', 'failed');
comment on table data_migration_items is 'What a backfill works on, with the result of each: failed is tried again at next_attempt_at, dead is not.';

create trigger data_migration_items_no_delete before delete or truncate on data_migration_items for each statement execute function append_only();

create function backfill_events(p_type text, p_from date, p_to date, p_limit integer) returns setof provider_events
language plpgsql stable set search_path = pg_catalog, public as $$
begin
  if (p_type in ('webhook_replay', 'reversal_backfill') and p_from <= p_to and p_limit between 1 and 100000) is not true then
    raise exception 'A backfill has a type, a range of days and a number of events.' using errcode = 'RK015';
  end if;
  return query select e.* from provider_events e
    where e.processed_at is null and e.occurred_at >= p_from::timestamp at time zone 'UTC' and e.occurred_at < (p_to + 1)::timestamp at time zone 'UTC'
      and (p_type = 'webhook_replay' or e.type in ('ON_REFUND', 'ON_CHARGEBACK'))
    order by e.occurred_at, e.id limit p_limit;
end $$;
comment on function backfill_events(text, date, date, integer) is 'The events of these days (UTC) that had no effect yet, the oldest first. Raises RK015.';

create function plan_backfill(p_type text, p_from date, p_to date, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
begin
  perform require_flag('backfill_enabled');
  return (select jsonb_build_object('total', count(*)::text, 'errors', (count(*) filter (where p.plan ? 'error'))::text,
      'plan', coalesce(jsonb_agg(jsonb_build_object('event_id', e.event_id, 'type', e.type, 'occurred_at', utc_text(e.occurred_at)) || p.plan order by e.occurred_at, e.id), '[]'))
    from backfill_events(p_type, p_from, p_to, p_limit) e cross join lateral (select plan_event(e)) p (plan));
end $$;
comment on function plan_backfill(text, date, date, integer) is 'A dry run: what each event would do as things are; cannot write. Raises RK050, RK015.';

create function migration_json(p_migration data_migrations) returns jsonb
language sql stable set search_path = pg_catalog, public
return jsonb_build_object('id', p_migration.id, 'type', p_migration.type, 'status', p_migration.status, 'startDate', p_migration.start_date, 'endDate', p_migration.end_date,
  'processedCount', p_migration.processed_count::text, 'errorCount', p_migration.error_count::text, 'totalCount', p_migration.total_count::text,
  'createdAt', utc_text(p_migration.created_at), 'updatedAt', utc_text(p_migration.updated_at), 'completedAt', utc_text(p_migration.completed_at),
  'createdBy', p_migration.created_by, 'error', p_migration.error, 'checkpoint', p_migration.checkpoint, 'metadata', p_migration.metadata);
comment on function migration_json(data_migrations) is 'A backfill as answers show it.';

create function new_migration(p_type text, p_from date, p_to date, p_by text, p_metadata jsonb) returns text
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  ms bigint := (extract(epoch from clock_timestamp()) * 1000)::bigint;
begin
  loop
    insert into data_migrations (id, type, status, start_date, end_date, created_by, metadata) values (p_type || '_' || ms, p_type, 'running', p_from, p_to, p_by, p_metadata) on conflict do nothing;
    exit when found;
    ms := ms + 1;
  end loop;
  return p_type || '_' || ms;
end $$;
comment on function new_migration(text, date, date, text, jsonb) is 'Opens a backfill; its id is its type and the time in ms, the next free one.';

create function begin_backfill(p_type text, p_from date, p_to date, p_limit integer, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  opened  text;
  started data_migrations;
begin
  perform require_flag('backfill_enabled');
  perform backfill_events(p_type, p_from, p_to, p_limit); -- refuses what is out of range
  opened := new_migration(p_type, p_from, p_to, p_by, jsonb_build_object('dryRun', false, 'maxEvents', p_limit));
  insert into data_migration_items (migration_id, nth, item)
  select opened, row_number() over (order by e.occurred_at, e.id), e.id::text from backfill_events(p_type, p_from, p_to, p_limit) e;
  update data_migrations m set total_count = (select count(*) from data_migration_items i where i.migration_id = opened) where m.id = opened returning * into started;
  return migration_json(started);
end $$;
comment on function begin_backfill(text, date, date, integer, text) is 'Opens a backfill with the events that it will apply; backfill_step does so. Raises RK050, RK015.';

create function backfill_step(p_migration text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  job    data_migrations;
  item   data_migration_items;
  became jsonb;
  cause  text;
begin
  perform require_flag('backfill_enabled');
  select * into job from data_migrations m where m.id = p_migration for update;
  if job.id is null then raise exception 'There is no such backfill.' using errcode = 'RK053'; end if;
  if job.status <> 'running' or job.type = 'wallet_snapshots' then return migration_json(job) || '{"idle": true}'; end if;
  select * into item from data_migration_items i where i.migration_id = p_migration and i.status in ('pending', 'failed') and i.next_attempt_at <= clock_timestamp()
   order by i.next_attempt_at, i.nth limit 1;
  if item.nth is not null then
    begin
      became := apply_event(item.item::uuid);
    exception when others then
      get stacked diagnostics cause = message_text;
    end;
    update data_migration_items i set attempts = i.attempts + 1, result = became, last_error = left(cause, 1000), updated_at = clock_timestamp(),
           status = case when cause is null then case became ->> 'outcome' when 'held' then 'held' else 'done' end when i.attempts >= 4 then 'dead' else 'failed' end,
           next_attempt_at = clock_timestamp() + interval '30 seconds' * 2 ^ i.attempts
     where i.migration_id = p_migration and i.nth = item.nth returning * into item;
    if cause is not null then
      update provider_events e set attempts = e.attempts + 1, last_error = left(cause, 1000), status = case item.status when 'dead' then 'dead' else 'failed' end, next_attempt_at = item.next_attempt_at
       where e.id = item.item::uuid;
    end if;
    update data_migrations m set checkpoint = jsonb_build_object('nth', item.nth::text, 'event', item.item), updated_at = clock_timestamp(),
           processed_count = m.processed_count + (item.status in ('done', 'held'))::integer,
           error_count = m.error_count + case when item.status in ('failed', 'dead') then (item.attempts = 1)::integer when item.attempts > 1 then -1 else 0 end
     where m.id = p_migration returning * into job;
  end if;
  if not exists (select from data_migration_items i where i.migration_id = p_migration and i.status in ('pending', 'failed')) then
    update data_migrations m set completed_at = clock_timestamp(), updated_at = clock_timestamp(), status = case when m.error_count > 0 then 'failed' else 'completed' end,
           error = case when m.error_count > 0 then m.error_count || ' of ' || m.total_count || ' events are dead.' end
     where m.id = p_migration returning * into job;
  end if;
  return migration_json(job) || jsonb_build_object('idle', item.nth is null or job.status <> 'running', 'held', coalesce(item.status = 'held', false));
end $$;
comment on function backfill_step(text) is
  'Applies the next due event of a backfill, in one commit with its result and the counts; idle: there is none now. A failed one waits 30 s, twice as long each time, and is dead after five attempts. Raises RK050, RK053.';

create function list_migrations(p_before timestamptz, p_limit integer) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select migration_json(m) from data_migrations m where m.created_at < coalesce(p_before, 'infinity') order by m.created_at desc, m.id limit least(greatest(p_limit, 1), 200)
$$;
comment on function list_migrations(timestamptz, integer) is 'Backfills, the newest first.';

create function open_migrations() returns setof text
language sql stable security definer set search_path = pg_catalog, public as $$
  select m.id from data_migrations m where m.status = 'running' and m.type <> 'wallet_snapshots' order by m.created_at
$$;
comment on function open_migrations() is 'Backfills that have events left to apply, now or later.';

create function read_migration(p_id text, p_after bigint, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  found_ data_migrations;
begin
  select * into found_ from data_migrations m where m.id = p_id;
  if found_.id is null then raise exception 'There is no such backfill.' using errcode = 'RK053'; end if;
  return migration_json(found_) || jsonb_build_object('items', (select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('nth', i.nth::text,
      'item', coalesce(e.event_id, i.item), 'status', i.status, 'attempts', i.attempts, 'result', i.result, 'error', i.last_error,
      'next_attempt_at', case when i.status = 'failed' then utc_text(i.next_attempt_at) end)) order by i.nth), '[]')
    from (select * from data_migration_items i where i.migration_id = p_id and i.nth > coalesce(p_after, 0) order by i.nth limit least(greatest(p_limit, 1), 200)) i
    left join provider_events e on e.id::text = i.item));
end $$;
comment on function read_migration(text, bigint, integer) is 'A backfill with a page of its items. Raises RK053.';

insert into job_heartbeats (job, interval_s) values ('backfill', 300), ('sweep', 60);

select secure_table(t, false) from unnest(array['products', 'provider_events', 'order_lines', 'data_migrations', 'data_migration_items']::regclass[]) t;

grant execute on function set_product(text, text, text, bigint, text, text), record_provider_event(text, text, text, text, text, jsonb, bytea, timestamptz),
  apply_event(uuid) to kernel_jobs;

grant execute on function set_product(text, text, text, bigint, text, text), list_migrations(timestamptz, integer), read_migration(text, bigint, integer) to kernel_api;

grant execute on function plan_backfill(text, date, date, integer), begin_backfill(text, date, date, integer, text), backfill_step(text), open_migrations(),
  list_migrations(timestamptz, integer), read_migration(text, bigint, integer) to kernel_jobs;
