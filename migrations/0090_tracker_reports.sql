-- What trackers say of their own work: requests, retries and clocks as counters a day; losses are read from the events, which count once.

create table tracker_days (
  site_id        uuid not null,
  day            date not null,
  sdk            text not null check (sdk ~ '^([a-z]{1,16}/\d{1,4}(\.\d{1,4}){2}|other)$'),
  batches        bigint not null default 0,
  retried        bigint not null default 0,
  skewed_minutes bigint not null default 0,
  skewed_hours   bigint not null default 0,
  primary key (site_id, day, sdk)
) with (fillfactor = 50);
comment on table tracker_days is 'Requests of trackers by UTC day and version, counted in the ledger''s own commit: how many were retries, and how many came from clocks that are minutes (1 to 60) or hours off. Trackers say so of themselves; it never decides money.';

create function count_tracker_batch(p_site uuid, p_month text, p_report jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  today   date := (clock_timestamp() at time zone 'UTC')::date;
  version text := p_report ->> 'sdk';
  off_ms  bigint := abs((p_report ->> 'skew_ms')::bigint);
  again   integer := (p_report ->> 'retried')::boolean::integer;
  minutes integer := coalesce(off_ms >= 60000 and off_ms < 3600000, false)::integer;
  hours   integer := coalesce(off_ms >= 3600000, false)::integer;
begin
  update tracker_days d set batches = d.batches + 1, retried = d.retried + again, skewed_minutes = d.skewed_minutes + minutes, skewed_hours = d.skewed_hours + hours
   where d.site_id = p_site and d.day = today and d.sdk = version;
  if found then return; end if;
  if (select count(*) from tracker_days d where d.site_id = p_site and d.day = today) >= 16 then version := 'other'; end if;
  insert into tracker_days as d (site_id, day, sdk, batches, retried, skewed_minutes, skewed_hours) values (p_site, today, version, 1, again, minutes, hours)
  on conflict (site_id, day, sdk) do update
    set batches = d.batches + 1, retried = d.retried + again, skewed_minutes = d.skewed_minutes + minutes, skewed_hours = d.skewed_hours + hours;
end $$;
comment on function count_tracker_batch(uuid, text, jsonb) is
  'Counts one request of a tracker: {sdk, retried, skew_ms | null}. Called in the statement of ingest and after it, so under the site''s lock: p_month is what ingest answered. At most 16 versions a day have a row of their own; the others are one.';

create function site_tracker(p_ref text, p_month text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public set jit = off as $$
declare
  site   uuid := require_site(p_ref);
  month  text := coalesce(p_month, utc_year_month(clock_timestamp()));
  begins timestamptz := month_start(month);
  ends   timestamptz := month_start(month) + interval '1 month';
  seen   boolean := exists (select from tracker_days d where d.site_id = site and d.day >= (begins at time zone 'UTC')::date and d.day < (ends at time zone 'UTC')::date);
begin -- a month without trackers is not read at all
  return (with told as materialized ( -- whoever may send may write anything here, so nothing is cast that was not looked at
    select payload ->> 'p' load, payload -> 'd' drops, payload = '{"erased": true}' erased,
           case when jsonb_typeof(payload -> 'n') = 'number' and payload ->> 'n' ~ '^[1-9]\d{0,8}$' then (payload ->> 'n')::bigint end n
      from (select e.payload from events e where seen and e.site_id = site and e.received_at >= begins and e.received_at < ends
            union all
            select o.payload from ingest_fallback_buffer o where seen and o.site_id = site and o.created_at >= begins and o.created_at < ends) stored
     where payload ->> 'p' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' or payload = '{"erased": true}'
  ), loads as ( -- of a page that was open when the month began the numbers before are the last month's
    select count(distinct n) arrived,
           max(n) - case when ('x' || replace(left(load, 13), '-', ''))::bit(48)::bigint >= extract(epoch from begins) * 1000 then 0 else min(n) - 1 end numbered
      from told where n is not null group by load
  ), loss as (
    select coalesce(sum(numbered), 0) numbered, coalesce(sum(arrived), 0) arrived,
           greatest(coalesce(sum(least(numbered - arrived, 10000)), 0) - (select count(*) from told where erased), 0) missing
      from loads
  ), reported as (
    select d.reason, sum(d.events::bigint) events
      from told cross join lateral jsonb_each_text(case when jsonb_typeof(drops) = 'object' then drops else '{}' end) d (reason, events)
     where d.reason ~ '^[a-z_]{1,16}$' and d.events ~ '^\d{1,6}$' group by d.reason order by 2 desc, 1 limit 16
  ), lost as ( -- what was dropped last in a page load leaves no gap, for no later number came
    select greatest(missing, (select coalesce(sum(events), 0) from reported)) lost from loss
  ), days as (
    select sdk, sum(batches) batches, sum(retried) retried, sum(skewed_minutes) minutes, sum(skewed_hours) hours
      from tracker_days d where d.site_id = site and d.day >= (begins at time zone 'UTC')::date and d.day < (ends at time zone 'UTC')::date group by sdk
  ), requests as (
    select coalesce(sum(batches), 0) batches, coalesce(sum(retried), 0) retried, coalesce(sum(minutes), 0) minutes, coalesce(sum(hours), 0) hours from days
  )
  select jsonb_build_object('site_id', site, 'public_id', s.public_id, 'year_month', month,
    'loss', jsonb_build_object('numbered', l.numbered::text, 'arrived', l.arrived::text, 'missing', l.missing::text,
      'reported', (select coalesce(jsonb_object_agg(reason, events::text), '{}') from reported),
      'lost', lost::text, 'rate', trim_scale(round(coalesce(lost / nullif(l.arrived + lost, 0), 0), 6))::text),
    'requests', jsonb_build_object('batches', r.batches::text, 'retried', r.retried::text, 'retry_rate', trim_scale(round(coalesce(r.retried / nullif(r.batches, 0), 0), 6))::text),
    'clocks', jsonb_build_object('within_a_minute', (r.batches - r.minutes - r.hours)::text, 'minutes_off', r.minutes::text, 'hours_off', r.hours::text),
    'sdks', (select coalesce(jsonb_agg(jsonb_build_object('sdk', sdk, 'batches', batches::text) order by batches desc, sdk), '[]') from days))
    from sites s, loss l, lost, requests r where s.id = site);
end $$;
comment on function site_tracker(text, text) is
  'How the trackers of a site fared in a month, by what they say: loss.numbered is how many events they numbered, missing how many of these numbers are not here (dropped, refused by the quota, still on their way, or lost), reported what they say they dropped, lost the larger of the two; an event erased since is not missing. Counts as decimal strings. p_month null = the current UTC month. Raises RK003.';

create function read_site_tracker(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return site_tracker(require_capability(p_user, p_platform_admin, p_ref, null)::text, p_month);
end $$;
comment on function read_site_tracker(uuid, boolean, text, text) is 'site_tracker for any member of the site. Raises RK014.';

select secure_table('tracker_days', true);

grant execute on function count_tracker_batch(uuid, text, jsonb) to kernel_ingest;

grant execute on function site_tracker(text, text), read_site_tracker(uuid, boolean, text, text) to kernel_api;
