-- What a person who opens the console asks first: is it counted, is it right, and who has not done their work?

create function usage_of_month(p_month text) returns table (site_id uuid, usage bigint, overage bigint, ledger bigint, ledger_overage bigint, rejected bigint)
language sql stable security definer set search_path = pg_catalog, public as $$
  select s.id, coalesce(u.event_count, 0), coalesce(u.overage_count, 0), coalesce(l.billable, 0), coalesce(l.overage, 0), coalesce(l.rejected, 0)
    from sites s
    left join site_usage_monthly u on u.site_id = s.id and u.year_month = p_month
    left join (select i.site_id, count(*) filter (where i.billable) billable, count(*) filter (where i.billable and i.billing_state = 'OVERAGE') overage,
                      count(*) filter (where i.billing_state = 'REJECTED_QUOTA') rejected
                 from ingest_idempotency i where i.year_month = p_month group by 1) l on l.site_id = s.id
$$;
comment on function usage_of_month(text) is 'The usage row and the ledger of a month beside each other, for each site; counts the month''s ledger once.';

create function kernel_overview() returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  with day as materialized (
    select date_trunc('hour', l.created_at, 'UTC') as hour, count(*) filter (where l.billable and l.billing_state <> 'OVERAGE') accepted,
           count(*) filter (where l.billable and l.billing_state = 'OVERAGE') overage, count(*) filter (where l.billing_state = 'REJECTED_QUOTA') rejected
      from ingest_idempotency l join sites s on s.id = l.site_id and not s.synthetic
     where l.created_at > clock_timestamp() - interval '24 hours' group by 1
  ), usage as materialized (
    select u.*, s.public_id, s.name, u.usage - u.ledger as drift,
           (select extract(epoch from clock_timestamp() - min(o.created_at)) from ingest_fallback_buffer o where o.site_id = u.site_id) waiting_s
      from usage_of_month(utc_year_month(clock_timestamp())) u join sites s on s.id = u.site_id
  )
  select jsonb_build_object('as_of', utc_text(clock_timestamp()), 'year_month', utc_year_month(clock_timestamp()),
    'hours', (select jsonb_agg(jsonb_build_object('hour', utc_text(h), 'accepted', coalesce(d.accepted, 0)::text, 'overage', coalesce(d.overage, 0)::text,
                'rejected', coalesce(d.rejected, 0)::text) order by h)
      from generate_series(date_trunc('hour', clock_timestamp(), 'UTC') - interval '23 hours', clock_timestamp(), '1 hour') h left join day d on d.hour = h),
    'last_24h', (select jsonb_build_object('accepted', coalesce(sum(accepted), 0)::text, 'overage', coalesce(sum(overage), 0)::text, 'rejected', coalesce(sum(rejected), 0)::text) from day),
    'month', (select jsonb_build_object('usage', coalesce(sum(u.usage), 0)::text, 'ledger', coalesce(sum(u.ledger), 0)::text, 'drift', coalesce(sum(u.drift), 0)::text,
                'drifting_sites', count(*) filter (where u.drift <> 0)::text) from usage u),
    'lag', (select jsonb_build_object('deliveries', count(*)::text, 'p50_ms', ceil(percentile_cont(0.5) within group (order by x.ms))::text,
              'p95_ms', ceil(percentile_cont(0.95) within group (order by x.ms))::text, 'p99_ms', ceil(percentile_cont(0.99) within group (order by x.ms))::text)
      from (select greatest(extract(epoch from e.delivered_at - e.received_at) * 1000, 0) ms from (select * from events order by id desc limit 10000) e
             where e.delivered_at > clock_timestamp() - interval '24 hours') x),
    'worst_sites', (select coalesce(jsonb_agg(jsonb_build_object('site_id', w.site_id, 'public_id', w.public_id, 'name', w.name, 'usage', w.usage::text, 'ledger', w.ledger::text,
                      'drift', w.drift::text, 'waiting_s', ceil(w.waiting_s)::text) order by abs(w.drift) desc, w.waiting_s desc nulls last, w.public_id), '[]')
      from (select * from usage u where u.drift <> 0 or u.waiting_s > 60 order by abs(u.drift) desc, u.waiting_s desc nulls last limit 10) w),
    'findings', (select coalesce(jsonb_agg(jsonb_build_object('finding_type', f.finding_type, 'provider', f.provider, 'severity', f.severity, 'open', f.n::text, 'oldest_at', utc_text(f.oldest))
                   order by f.n desc, f.finding_type, f.severity), '[]')
      from (select x.finding_type, x.provider, x.severity, count(*) n, min(x.created_at) oldest from reconciliation_findings x where x.status = 'OPEN' group by 1, 2, 3) f),
    'withdrawals', (select coalesce(jsonb_agg(jsonb_build_object('state', w.state, 'currency', w.currency, 'exponent', c.exponent, 'count', w.n::text, 'amount_minor', w.amount::text, 'oldest_at', utc_text(w.oldest))
                      order by w.state, w.currency), '[]')
      from (select x.state, x.currency, count(*) n, sum(x.amount) amount, min(x.created_at) oldest from withdrawals x
             where x.state not in ('paid', 'rejected', 'canceled') group by 1, 2) w join currencies c on c.code = w.currency),
    'jobs', (select jsonb_build_object('dead', count(*) filter (where j.status = 'DEAD')::text, 'failed', count(*) filter (where j.status = 'FAILED')::text,
               'stuck', count(*) filter (where j.status = 'PROCESSING' and j.lease_until < clock_timestamp())::text,
               'waiting', count(*) filter (where j.status = 'QUEUED')::text) from billing_reconciliation_jobs j),
    'checks', watchtower_checks())
$$;
comment on function kernel_overview() is
  'The first page of the console, of one snapshot: admitted events of each of the last 24 hours, usage row against ledger in this month, how long deliveries took (of the last 10,000 of a day), sites that drift or wait, open findings, withdrawals at work in minor units, jobs, and what watchtower checks. Counts as decimal strings.';

create function list_site_usage(p_month text, p_after timestamptz, p_after_id uuid, p_limit integer) returns table (site jsonb, cursor text)
language sql stable security definer set search_path = pg_catalog, public as $$
  select l.site || jsonb_build_object('usage', jsonb_build_object('year_month', m.month, 'event_count', u.usage::text, 'overage_count', u.overage::text, 'ledger', u.ledger::text,
           'rejected', u.rejected::text, 'drift', (u.usage - u.ledger)::text, 'limit', (select p.quota::text from plan_in_force(u.site_id, clock_timestamp()) p),
           'last_event_at', (select utc_text(e.received_at) from events e where e.site_id = u.site_id order by e.id desc limit 1))), l.cursor
    from (select coalesce(p_month, utc_year_month(clock_timestamp())) as month) m
   cross join list_sites(p_after, p_after_id, p_limit) l join usage_of_month(m.month) u on u.site_id = (l.site ->> 'id')::uuid
   order by l.cursor
$$;
comment on function list_site_usage(text, timestamptz, uuid, integer) is 'list_sites with the usage of a month: usage row, ledger, drift, the limit in force, the last delivered event. p_month null = the current UTC month.';

create function list_audit(p_filter jsonb, p_before bigint, p_limit integer) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', a.id::text, 'created_at', utc_text(a.created_at), 'actor_type', a.actor_type, 'actor_id', a.actor_id, 'action', a.action,
           'resource_type', a.resource_type, 'resource_id', a.resource_id, 'site_id', a.site_id, 'payload', a.payload)
    from audit_log a
   where (p_before is null or a.id < p_before)
     and (p_filter ->> 'actor' is null or a.actor_id = p_filter ->> 'actor') and (p_filter ->> 'action' is null or a.action = p_filter ->> 'action')
     and (p_filter ->> 'resource_type' is null or a.resource_type = p_filter ->> 'resource_type')
     and (p_filter ->> 'resource_id' is null or a.resource_id = p_filter ->> 'resource_id')
     and (p_filter ->> 'site_id' is null or a.site_id = (p_filter ->> 'site_id')::uuid)
   order by a.id desc limit least(greatest(p_limit, 1), 200) + 1
$$;
comment on function list_audit(jsonb, bigint, integer) is 'The audit log, newest first, before an id; p_filter: {actor, action, resource_type, resource_id, site_id}, each exact. One row more than asked for tells that there is a next page.';

create function list_site_jobs(p_status text, p_limit integer) returns setof jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', j.id::text, 'site_id', j.site_id, 'public_id', s.public_id, 'year_month', j.year_month, 'status', j.status,
           'stuck', j.status = 'PROCESSING' and j.lease_until < clock_timestamp(), 'attempt_count', j.attempt_count, 'last_error', j.last_error, 'last_drift_pct', j.last_drift_pct::text,
           'last_result', j.last_result, 'lease_until', utc_text(j.lease_until), 'next_attempt_at', utc_text(j.next_attempt_at), 'updated_at', utc_text(j.updated_at))
    from billing_reconciliation_jobs j join sites s on s.id = j.site_id
   where p_status is null or j.status = p_status or p_status = 'STUCK' and j.status = 'PROCESSING' and j.lease_until < clock_timestamp()
   order by j.status in ('DEAD', 'FAILED') or j.lease_until < clock_timestamp() desc nulls last, j.updated_at desc limit least(greatest(p_limit, 1), 200)
$$;
comment on function list_site_jobs(text, integer) is 'Reconciliation jobs of all sites, those in trouble first, then the newest; p_status: a status, STUCK for a lease that has run out, null for all.';

grant execute on function kernel_overview(), list_site_usage(text, timestamptz, uuid, integer), list_audit(jsonb, bigint, integer), list_site_jobs(text, integer) to kernel_api;
