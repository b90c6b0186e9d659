-- The hot path: one call takes a batch of one site's events to ledger, usage, outbox and conflicts in one commit.
-- As one plain statement it would be wrong: the snapshot must be taken after the lock, hence volatile PL/pgSQL functions.
-- ingest locks and reads; ingest_batch and ingest_single decide and write alike, the latter without the plan of a set.

create function ingest_batch(
  p_site uuid, p_batch uuid, p_events jsonb, p_request_id text, p_client_ip text, p_user_agent text,
  p_now timestamptz, p_month text, p_quota bigint, p_cap bigint, p_policy text, p_before bigint,
  out admitted bigint, out billed bigint, out overage bigint, out as_of bigint, out results jsonb)
language plpgsql volatile
set search_path = pg_catalog, public as $$
declare
  uuid_prefix text := left(replace(ingest_uuid(0, p_now)::text, '-', ''), 16);
begin
  with given as materialized (
    select e.n, decode(e.key, 'hex') key, decode(e.previous, 'hex') previous, e.bucket_ms, e.version,
           decode(e.hash, 'hex') hash, e.payload,
           billing_reason_of(p_policy, e.payload ->> 'ec', e.payload ->> 'ea') reason,
           row_number() over (partition by e.key, e.hash order by e.n) occurrence, -- a conflicting one does not stand for the others
           first_value(decode(e.hash, 'hex')) over (partition by e.key order by e.n) first_hash
      from rows from (jsonb_to_recordset(p_events)
             as (key text, previous text, bucket_ms integer, version smallint, hash text, payload jsonb))
           with ordinality e (key, previous, bucket_ms, version, hash, payload, n)
  ), seen as materialized ( -- lateral and limit 1: an index probe for each key, whatever the statistics say
    select g.*, kept.id kept_id, kept.payload_hash kept_hash, refused.id refused_id, refused.payload_hash refused_hash,
           refused.year_month refused_month, late.id late_id
      from given g
      left join lateral (select l.id, l.payload_hash from ingest_idempotency l
        where l.site_id = p_site and l.idempotency_key = g.key and l.billing_state <> 'REJECTED_QUOTA' limit 1) kept on true
      left join lateral (select l.id, l.payload_hash, l.year_month from ingest_idempotency l
        where l.site_id = p_site and l.idempotency_key = g.key and l.billing_state = 'REJECTED_QUOTA'
        order by l.year_month desc limit 1) refused on kept.id is null
      left join lateral (select l.id from ingest_idempotency l
        where l.site_id = p_site and l.idempotency_key = g.previous and l.billing_state <> 'REJECTED_QUOTA'
          and l.created_at > p_now - g.bucket_ms * interval '1 millisecond' limit 1) late on g.previous is not null and kept.id is null
  ), sorted as (
    select s.*, reason not in ('scroll_depth', 'system') counts,
           case when version = 3 and hash is distinct from coalesce(kept_hash, refused_hash, first_hash) then 'conflict'
                when kept_id is not null or late_id is not null then 'duplicate'
                when occurrence > 1 then 'repeat' else 'new' end kind
      from seen s
  ), counted as (
    select s.*, p_before + count(*) filter (where kind = 'new' and counts) over (order by n) nth from sorted s
  ), decided as materialized ( -- ids are drawn here, so that ledger and outbox need no join
    select c.*,
           case when kind <> 'new' then null when not counts or nth <= least(p_quota, p_cap) then 'ACCEPTED'
                when nth <= p_cap then 'OVERAGE' else 'REJECTED_QUOTA' end::billing_state state,
           case when kind = 'new' and (not counts or nth <= p_cap or refused_id is null or refused_month <> p_month)
                then nextval('ingest_id_seq') end id -- a rejected key leaves one row a month
      from counted c order by n
  ), ledger as ( -- no ON CONFLICT: under the lock a conflict is a bug and must abort, not be swallowed
    insert into ingest_idempotency (id, site_id, idempotency_key, created_at, expires_at, billing_state, billable,
                                    billing_reason, idempotency_version, payload_hash)
    select id, p_site, key, p_now, p_now + interval '90 days', state, counts and state <> 'REJECTED_QUOTA',
           case state when 'REJECTED_QUOTA' then 'rejected_quota' else reason end, version, hash
      from decided where id is not null
  ), outbox as (
    insert into ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at, request_id, client_ip, user_agent)
    select id, p_batch, p_site, payload, p_now, p_now + interval '1 minute', p_request_id, p_client_ip, p_user_agent
      from decided where id is not null and state <> 'REJECTED_QUOTA'
  ), conflicts as (
    insert into ingest_conflicts (site_id, idempotency_key, other_hash, request_id)
    select p_site, key, hash, p_request_id from decided where kind = 'conflict' on conflict do nothing
  )
  select count(*) filter (where state <> 'REJECTED_QUOTA'), count(*) filter (where counts and state <> 'REJECTED_QUOTA'),
         count(*) filter (where state = 'OVERAGE'), max(id) filter (where state <> 'REJECTED_QUOTA'),
         jsonb_agg(jsonb_build_array(
           case d.kind when 'new' then lower(d.state::text)
             when 'repeat' then case when (select f.state from decided f where f.key = d.key and f.kind = 'new') = 'REJECTED_QUOTA'
                                     then 'rejected_quota' else 'duplicate' end -- as its first occurrence fared
             else d.kind end,
           case when d.state <> 'REJECTED_QUOTA' then (uuid_prefix || to_hex(d.id + '-9223372036854775808'::bigint))::uuid end) order by d.n)
    into admitted, billed, overage, as_of, results
    from decided d;
end $$;
comment on function ingest_batch(uuid, uuid, jsonb, text, text, text, timestamptz, text, bigint, bigint, text, bigint) is
  'The decision of ingest on a set of events; called by ingest only, under its lock.';

create function ingest_single(
  p_site uuid, p_batch uuid, p_event jsonb, p_request_id text, p_client_ip text, p_user_agent text,
  p_now timestamptz, p_month text, p_quota bigint, p_cap bigint, p_policy text, p_before bigint,
  out admitted bigint, out billed bigint, out overage bigint, out as_of bigint, out results jsonb)
language plpgsql volatile
set search_path = pg_catalog, public as $$
declare
  key           bytea := decode(p_event ->> 'key', 'hex');
  hash          bytea := decode(p_event ->> 'hash', 'hex');
  reason        billing_reason := billing_reason_of(p_policy, p_event #>> '{payload,ec}', p_event #>> '{payload,ea}');
  counts        boolean := reason not in ('scroll_depth', 'system');
  twin          bigint;
  twin_hash     bytea;
  refused_id    bigint;
  refused_month text;
  state         billing_state;
begin
  admitted := 0; billed := 0; overage := 0;
  select l.id, l.payload_hash into twin, twin_hash from ingest_idempotency l
   where l.site_id = p_site and l.idempotency_key = key and l.billing_state <> 'REJECTED_QUOTA' limit 1;
  if twin is null then
    select l.id, l.payload_hash, l.year_month into refused_id, twin_hash, refused_month from ingest_idempotency l
     where l.site_id = p_site and l.idempotency_key = key and l.billing_state = 'REJECTED_QUOTA' order by l.year_month desc limit 1;
    if p_event ->> 'previous' is not null then
      select l.id into twin from ingest_idempotency l
       where l.site_id = p_site and l.idempotency_key = decode(p_event ->> 'previous', 'hex') and l.billing_state <> 'REJECTED_QUOTA'
         and l.created_at > p_now - (p_event ->> 'bucket_ms')::integer * interval '1 millisecond' limit 1;
    end if;
  end if;
  if (p_event ->> 'version')::smallint = 3 and (twin is not null or refused_id is not null) and hash is distinct from twin_hash then
    insert into ingest_conflicts (site_id, idempotency_key, other_hash, request_id) values (p_site, key, hash, p_request_id) on conflict do nothing;
    results := '[["conflict", null]]';
    return;
  end if;
  if twin is not null then
    results := '[["duplicate", null]]';
    return;
  end if;

  state := case when not counts or p_before + 1 <= least(p_quota, p_cap) then 'ACCEPTED'
                when p_before + 1 <= p_cap then 'OVERAGE' else 'REJECTED_QUOTA' end;
  if state = 'REJECTED_QUOTA' then
    results := '[["rejected_quota", null]]';
    if refused_id is not null and refused_month = p_month then return; end if; -- a rejected key leaves one row a month
  end if;
  as_of := nextval('ingest_id_seq');
  insert into ingest_idempotency (id, site_id, idempotency_key, created_at, expires_at, billing_state, billable,
                                  billing_reason, idempotency_version, payload_hash)
  values (as_of, p_site, key, p_now, p_now + interval '90 days', state, counts and state <> 'REJECTED_QUOTA',
          case state when 'REJECTED_QUOTA' then 'rejected_quota' else reason end, (p_event ->> 'version')::smallint, hash);
  if state = 'REJECTED_QUOTA' then
    as_of := null;
    return;
  end if;
  insert into ingest_fallback_buffer (id, batch_id, site_id, payload, created_at, next_attempt_at, request_id, client_ip, user_agent)
  values (as_of, p_batch, p_site, p_event -> 'payload', p_now, p_now + interval '1 minute', p_request_id, p_client_ip, p_user_agent);
  admitted := 1;
  billed := counts::integer;
  overage := (state = 'OVERAGE')::integer;
  results := jsonb_build_array(jsonb_build_array(lower(state::text), ingest_uuid(as_of, p_now)));
end $$;
comment on function ingest_single(uuid, uuid, jsonb, text, text, text, timestamptz, text, bigint, bigint, text, bigint) is
  'The decision of ingest on one event: the same as ingest_batch on a set of one, at half its cost; called by ingest only, under its lock.';

create function ingest(
  p_site       uuid,
  p_batch      uuid,
  p_events     jsonb,
  p_request_id text default null,
  p_client_ip  text default null,
  p_user_agent text default null,
  out used          bigint,
  out quota         bigint,
  out remaining     bigint,
  out month         text,
  out as_of         bigint,
  out admitted      bigint,
  out retry_after_s bigint,
  out results       jsonb)
language plpgsql volatile security definer
set search_path = pg_catalog, public
set jit = off
set plan_cache_mode = force_generic_plan -- planning anew doubles the cost of a single event
set lock_timeout = '3s' as $$
declare
  now_at   timestamptz;
  cap      bigint;
  soft     boolean;
  policy   text;
  enforced boolean;
  frozen   boolean;
  billed   bigint;
  overage  bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'ingest needs the isolation level read committed.' using errcode = 'RK001';
  end if;
  if jsonb_typeof(p_events) is distinct from 'array' or jsonb_array_length(p_events) not between 1 and 500 then
    raise exception 'ingest takes 1 to 500 events.' using errcode = 'RK002';
  end if;

  perform lock_site(p_site); -- from here on each statement has a new snapshot, which sees every earlier holder's rows
  now_at := clock_timestamp(); -- after the lock, so that order of quota, commit and time agree
  loop
    month := utc_year_month(now_at);
    select p.monthly_limit, p.soft_limit_enabled, floor(p.monthly_limit * p.hard_cap_multiplier), coalesce(p.billing_policy, 'all'),
           s.billing_enforcement, u.event_count,
           exists (select from invoice_snapshot i where i.site_id = p_site and i.year_month = month)
      into quota, soft, cap, policy, enforced, used, frozen
      from sites s
      left join site_plans p on p.site_id = s.id
      left join site_usage_monthly u on u.site_id = s.id and u.year_month = month
     where s.id = p_site and s.status = 'active';
    if not found then
      raise exception 'The site is unknown or closed.' using errcode = 'RK003';
    end if;
    exit when not frozen;
    now_at := month_start(month) + interval '1 month'; -- the clock went back over a freeze: the event belongs to the next month
  end loop;
  if quota is null then
    select d.monthly_limit, d.soft_limit_enabled, floor(d.monthly_limit * d.hard_cap_multiplier) into quota, soft, cap from default_plan() d;
  end if;
  if not soft then cap := quota; end if;
  if not enforced then cap := 9223372036854775807; end if; -- recorded as OVERAGE, never refused
  if used is null then
    insert into site_usage_monthly (site_id, year_month) values (p_site, month);
    used := 0;
  end if;

  if jsonb_array_length(p_events) = 1 then
    select s.admitted, s.billed, s.overage, s.as_of, s.results into admitted, billed, overage, as_of, results
      from ingest_single(p_site, p_batch, p_events -> 0, p_request_id, p_client_ip, p_user_agent, now_at, month, quota, cap, policy, used) s;
  else
    select b.admitted, b.billed, b.overage, b.as_of, b.results into admitted, billed, overage, as_of, results
      from ingest_batch(p_site, p_batch, p_events, p_request_id, p_client_ip, p_user_agent, now_at, month, quota, cap, policy, used) b;
  end if;
  if billed > 0 then
    update site_usage_monthly u set event_count = u.event_count + billed, overage_count = u.overage_count + overage
     where u.site_id = p_site and u.year_month = month;
    used := used + billed;
  end if;
  remaining := greatest(0, quota - used);
  retry_after_s := ceil(extract(epoch from month_start(month) + interval '1 month' - now_at));
end $$;
comment on function ingest(uuid, uuid, jsonb, text, text, text) is
  'Takes 1 to 500 events of one site, in request order, as [{key, previous?, bucket_ms?, version, hash?, payload}] (key, previous and hash in hex). The plan''s billing_policy says which count against the quota; the others are admitted whatever the usage. Locks the site; writes ledger, usage, outbox and conflicts in the caller''s commit. results: [[outcome, ingest_id | null]] with outcome accepted, overage, duplicate, conflict or rejected_quota; used, quota and remaining hold after the batch; as_of is the highest ledger id admitted. A lost reply or a second call is harmless. Raises RK001 (isolation), RK002 (size), RK003 (site), 55P03 (lock timeout).';

grant execute on function ingest(uuid, uuid, jsonb, text, text, text) to kernel_ingest;
