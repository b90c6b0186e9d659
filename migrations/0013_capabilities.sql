-- Who may do what with a site: roles become capabilities here, and every reading function for users asks for one first.

create function secure_table(p_table regclass, p_members_read boolean) returns boolean
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format('revoke all on %s from public', p_table);
  execute format('create policy owner_all on %s to current_user using (true) with check (true)', p_table);
  execute format('create policy service_role_all on %s to service_role using (true) with check (true)', p_table);
  execute format('grant select on %s to service_role', p_table);
  if p_members_read then
    execute format('create policy member_reads on %s for select to authenticated using (site_id in (select my_site_ids()))', p_table);
    execute format('grant select on %s to authenticated', p_table);
  end if;
  return p_members_read;
end $$;
comment on function secure_table(regclass, boolean) is 'For migrations: forces row-level security on a new table; its owner and service_role see all rows, the members of a site theirs when asked for.';

create function site_role(p_site uuid) returns text
language sql stable security definer set search_path = pg_catalog, public as $$
  select case when current_setting('app.platform_admin', true) = 'true'
                or exists (select from profiles p where p.id = signed_in_user() and p.role = 'admin') then 'admin'
              when exists (select from sites s where s.id = p_site and s.user_id = signed_in_user()) then 'owner'
              else (select m.role from site_members m where m.site_id = p_site and m.user_id = signed_in_user()) end
$$;
comment on function site_role(uuid) is 'The role of the signed-in user at a site: a platform admin is admin everywhere, then owner, then membership; null without access.';

create function capabilities_of(p_role text) returns text[]
language sql immutable parallel safe
return case when p_role in ('owner', 'admin') then '{site:write,members:manage,queue:operate,billing:view}'::text[]
            when p_role = 'operator' then '{queue:operate}'::text[]
            when p_role = 'billing' then '{billing:view}'::text[]
            else '{}'::text[] end;
comment on function capabilities_of(text) is 'What a role may do; an analyst sees the site and may do nothing else.';

create function require_capability(p_user uuid, p_platform_admin boolean, p_ref text, p_capability text) returns uuid
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid;
  role text;
begin
  perform sign_in(p_user, p_platform_admin);
  site := find_site(p_ref);
  role := site_role(site);
  if site is null or role is null then
    raise exception 'You have no access to this site.' using errcode = 'RK014'; -- the same for a site that does not exist
  end if;
  if p_capability is not null and p_capability <> all (capabilities_of(role)) then
    raise exception 'Your role at this site (%) lacks %.', role, p_capability using errcode = 'RK014';
  end if;
  return site;
end $$;
comment on function require_capability(uuid, boolean, text, text) is
  'Signs the user in and returns the site when the user may do this there; a null capability asks for any access. Raises RK014, which does not tell whether the site exists.';

create function my_sites(p_user uuid, p_platform_admin boolean, p_after timestamptz, p_after_id uuid, p_limit integer)
returns table (site jsonb, cursor text)
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform sign_in(p_user, p_platform_admin);
  return query
    select jsonb_build_object('id', s.id, 'public_id', s.public_id, 'name', s.name, 'status', s.status, 'created_at', utc_text(s.created_at),
                              'role', r.role, 'capabilities', capabilities_of(r.role)),
           utc_text(s.created_at) || ' ' || s.id
      from sites s, lateral (select site_role(s.id) role) r
     where p_after is null or (s.created_at, s.id) > (p_after, p_after_id)
     order by s.created_at, s.id limit least(greatest(p_limit, 1), 200) + 1;
end $$;
comment on function my_sites(uuid, boolean, timestamptz, uuid, integer) is
  'The sites that the user may see, with role and capabilities, in order of creation; one row more than asked for when there are more.';

create function read_site_plan(p_user uuid, p_platform_admin boolean, p_ref text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return site_plan(require_capability(p_user, p_platform_admin, p_ref, 'billing:view'));
end $$;
comment on function read_site_plan(uuid, boolean, text) is 'The plan in force and, while an unblock runs, the plan it will fall back to. Raises RK014.';

create function read_site_usage(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return site_usage(require_capability(p_user, p_platform_admin, p_ref, 'billing:view')::text, p_month);
end $$;
comment on function read_site_usage(uuid, boolean, text, text) is 'site_usage for a user who holds billing:view. Raises RK014.';

create function adjustment_row(a invoice_adjustments) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', a.id::text, 'created_at', utc_text(a.created_at), 'year_month', a.year_month, 'corrects_month', a.corrects_month,
    'event_delta', a.event_delta::text, 'overage_delta', a.overage_delta::text, 'reason', a.reason, 'author', a.author, 'approver', a.approver)
$$;
comment on function adjustment_row(invoice_adjustments) is 'An adjustment as answers show it; counts as decimal strings.';

create function read_invoices(p_user uuid, p_platform_admin boolean, p_ref text, p_before text, p_limit integer) returns setof jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'billing:view');
begin
  return query
    select jsonb_build_object('site_id', i.site_id, 'year_month', i.year_month, 'event_count', i.event_count::text, 'overage_count', i.overage_count::text,
             'snapshot_hash', i.snapshot_hash, 'hash_version', i.hash_version, 'commit_sha', i.commit_sha,
             'frozen_at', utc_text(i.generated_at), 'generated_by', i.generated_by,
             'adjustments', (select coalesce(jsonb_agg(adjustment_row(a) order by a.id), '[]') from invoice_adjustments a
                              where a.site_id = i.site_id and a.year_month = i.year_month),
             'corrected_by', (select coalesce(jsonb_agg(adjustment_row(a) order by a.id), '[]') from invoice_adjustments a
                               where a.site_id = i.site_id and a.corrects_month = i.year_month))
      from invoice_snapshot i
     where i.site_id = site and (p_before is null or i.year_month < p_before)
     order by i.year_month desc limit least(greatest(p_limit, 1), 120) + 1;
end $$;
comment on function read_invoices(uuid, boolean, text, text, integer) is
  'Frozen invoices, newest first, before p_before: each with the adjustments booked in its month and those that correct it. Raises RK014.';

create function read_jobs(p_user uuid, p_platform_admin boolean, p_ref text) returns setof jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'queue:operate');
begin
  return query
    select jsonb_build_object('id', j.id::text, 'year_month', j.year_month, 'status', j.status, 'attempt_count', j.attempt_count,
             'last_error', j.last_error, 'last_drift_pct', j.last_drift_pct, 'last_result', j.last_result,
             'next_attempt_at', utc_text(j.next_attempt_at), 'updated_at', utc_text(j.updated_at))
      from billing_reconciliation_jobs j where j.site_id = site order by j.year_month desc limit 120;
end $$;
comment on function read_jobs(uuid, boolean, text) is 'The site''s reconciliation jobs of the last ten years at most, newest month first. Raises RK014.';

create function read_site_quota(p_user uuid, p_platform_admin boolean, p_ref text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  return site_quota(require_capability(p_user, p_platform_admin, p_ref, null));
end $$;
comment on function read_site_quota(uuid, boolean, text) is 'Where the site stands against its quota; any member may ask, for a tracker that is refused concerns them all. Raises RK014.';

create function set_site_member(p_ref text, p_user uuid, p_role text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  if p_role is null then
    delete from site_members m where m.site_id = site and m.user_id = p_user;
  else
    insert into site_members (site_id, user_id, role) values (site, p_user, p_role)
    on conflict (site_id, user_id) do update set role = excluded.role;
  end if;
  perform audit(p_actor, 'site_member', 'site', site::text, site, jsonb_build_object('user_id', p_user, 'role', p_role));
  return jsonb_build_object('site_id', site, 'user_id', p_user, 'role', p_role);
end $$;
comment on function set_site_member(text, uuid, text, text) is 'Gives a user a role at the site, or none. Audited as site_member. Raises RK003.';

grant execute on function set_site_member(text, uuid, text, text), site_role(uuid), capabilities_of(text), require_capability(uuid, boolean, text, text), my_sites(uuid, boolean, timestamptz, uuid, integer),
  read_site_plan(uuid, boolean, text), read_site_usage(uuid, boolean, text, text), read_site_quota(uuid, boolean, text),
  read_invoices(uuid, boolean, text, text, integer), adjustment_row(invoice_adjustments), read_jobs(uuid, boolean, text) to kernel_api;
