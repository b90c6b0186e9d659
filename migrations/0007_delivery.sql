-- From the outbox to events: the row is deleted and the event written in one statement, so the effect is exactly once
-- however often a message comes. SKIP LOCKED: a mover never waits for another. A row lock is the lease: it ends with its holder.

create function retry_delay(p_attempts integer) returns interval
language sql volatile parallel safe
return least(interval '30 seconds' * power(2, least(p_attempts, 12)), interval '6 hours') * (0.5 + random() / 2);
comment on function retry_delay(integer) is 'The pause before the next attempt: exponential from a minute to 6 hours, with half of it as jitter.';

create function move_rows(p_ids bigint[], out moved bigint, out bad jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, public as $$
declare
  half    integer := (cardinality(p_ids) + 1) / 2;
  l_moved bigint;
  r_moved bigint;
  l_bad   jsonb;
  r_bad   jsonb;
begin
  begin
    with taken as (
      delete from ingest_fallback_buffer o where o.id = any (p_ids) returning o.*
    ), written as (
      insert into events (id, site_id, received_at, payload, request_id, client_ip, user_agent)
      select id, site_id, created_at, payload, request_id, client_ip, user_agent from taken on conflict (id) do nothing
    )
    select count(*), '[]'::jsonb into moved, bad from taken;
    return;
  exception when others then
    if sqlstate ~ '^(08|40|53|55|57|58|XX)' then raise; end if; -- the database's trouble, not the row's
    if cardinality(p_ids) = 1 then
      update ingest_fallback_buffer o
         set attempts = o.attempts + 1, error_reason = left(sqlstate || ' ' || sqlerrm, 500),
             status = case when o.attempts + 1 >= 8 then 'FAILED' else 'PENDING' end::ingest_fallback_status,
             next_attempt_at = clock_timestamp() + retry_delay(o.attempts + 1)
       where o.id = p_ids[1]
      returning 0, jsonb_build_array(jsonb_build_object('id', o.id::text, 'site_id', o.site_id, 'attempts', o.attempts,
                                                         'status', o.status, 'reason', o.error_reason)) into moved, bad;
      return;
    end if;
  end;
  select m.moved, m.bad into l_moved, l_bad from move_rows(p_ids[1:half]) m;
  select m.moved, m.bad into r_moved, r_bad from move_rows(p_ids[half + 1:]) m;
  moved := l_moved + r_moved;
  bad := l_bad || r_bad;
end $$;
comment on function move_rows(bigint[]) is
  'Moves outbox rows that the caller has locked to events. When a row cannot be moved the set is halved until it stands alone: the others are moved, the bad one gets an attempt, a delay and a reason, and after 8 attempts the status FAILED.';

create function deliver(p_batches jsonb, out moved bigint, out bad jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan as $$
begin
  select m.moved, m.bad into moved, bad from move_rows(array(
    select o.id from ingest_fallback_buffer o
     where o.batch_id = any (array(select b::uuid from jsonb_array_elements_text(p_batches) b)) and o.status <> 'FAILED'
       and (o.attempts = 0 or o.next_attempt_at <= clock_timestamp())
     order by o.id for update skip locked)) m;
end $$;
comment on function deliver(jsonb) is
  'Moves the outbox rows of the given batches (a JSON array of batch ids) to events. moved: how many; bad: [{id, site_id, attempts, status, reason}]. Repeatable; rows that another mover holds are left to it.';

create function recover(p_limit integer, out moved bigint, out bad jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan as $$
begin
  select m.moved, m.bad into moved, bad from move_rows(array(
    select o.id from ingest_fallback_buffer o
     where o.status <> 'FAILED' and o.next_attempt_at <= clock_timestamp()
     order by o.next_attempt_at limit least(greatest(p_limit, 1), 10000) for update skip locked)) m;
end $$;
comment on function recover(integer) is
  'Moves due outbox rows, oldest first and at most p_limit (1 to 10000), to events, whatever their status but FAILED. moved and bad as of deliver. It does not republish, which would feed a slow queue.';

create function record_publish_failure(p_batch uuid, p_site_public_id text, p_message text) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, public as $$
declare
  marked bigint;
begin
  insert into ingest_publish_failures (site_public_id, error_code, error_message_short)
  values (p_site_public_id, 'QSTASH_PUBLISH_FAILED', left(p_message, 500));
  update ingest_fallback_buffer set error_reason = left('QSTASH_PUBLISH_FAILED ' || p_message, 500), next_attempt_at = clock_timestamp()
   where batch_id = p_batch and status = 'PENDING';
  get diagnostics marked = row_count;
  return marked;
end $$;
comment on function record_publish_failure(uuid, text, text) is
  'Notes that the queue did not take a batch, and makes its outbox rows due at once; returns how many there were.';

grant execute on function deliver(jsonb), recover(integer) to kernel_deliver;

grant execute on function record_publish_failure(uuid, text, text) to kernel_ingest;
