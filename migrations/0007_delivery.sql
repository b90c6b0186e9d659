-- From the outbox to events: the row is deleted and the event written in one statement, so the effect is exactly once
-- however often a message comes. SKIP LOCKED: a mover never waits for another.

create function deliver(p_batches jsonb) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  moved bigint;
begin
  with due as (
    select o.id from ingest_fallback_buffer o
     where o.batch_id = any (array(select b::uuid from jsonb_array_elements_text(p_batches) b)) and o.status <> 'FAILED'
     order by o.id for update skip locked
  ), taken as (
    delete from ingest_fallback_buffer o using due where o.id = due.id returning o.*
  ), written as (
    insert into events (id, site_id, received_at, payload, request_id, client_ip, user_agent)
    select id, site_id, created_at, payload, request_id, client_ip, user_agent from taken on conflict (id) do nothing
  )
  select count(*) into moved from taken;
  return moved;
end $$;
comment on function deliver(jsonb) is
  'Moves the outbox rows of the given batches (a JSON array of batch ids) to events; returns how many it moved. Repeatable; rows that another mover holds are left to it.';

create function recover(p_limit integer) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan as $$
declare
  moved bigint;
begin
  with due as (
    select o.id from ingest_fallback_buffer o
     where o.status <> 'FAILED' and o.next_attempt_at <= clock_timestamp()
     order by o.next_attempt_at limit least(greatest(p_limit, 1), 10000) for update skip locked
  ), taken as (
    delete from ingest_fallback_buffer o using due where o.id = due.id returning o.*
  ), written as (
    insert into events (id, site_id, received_at, payload, request_id, client_ip, user_agent)
    select id, site_id, created_at, payload, request_id, client_ip, user_agent from taken on conflict (id) do nothing
  )
  select count(*) into moved from taken;
  return moved;
end $$;
comment on function recover(integer) is
  'Moves due outbox rows, oldest first and at most p_limit (1 to 10000), to events; returns how many. It does not republish, which would feed a slow queue.';

grant execute on function deliver(jsonb), recover(integer) to kernel_deliver;
