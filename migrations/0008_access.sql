-- Row-level security, forced on every table, so that the owner of the functions needs a policy too:
-- owner and service_role see all rows, authenticated the rows of its own sites; anything else sees nothing.

create function signed_in_user() returns uuid
language sql stable parallel safe set search_path = pg_catalog as $$ select nullif(current_setting('app.user_id', true), '')::uuid $$;
comment on function signed_in_user() is 'The subject of the verified token, set by the reading function itself; null when nobody is signed in.';

create function my_site_ids() returns setof uuid
language sql stable security definer set search_path = pg_catalog, public as $$
  select id from sites
   where user_id = signed_in_user()
      or id in (select m.site_id from site_members m where m.user_id = signed_in_user())
      or exists (select from profiles p where p.id = signed_in_user() and p.role = 'admin')
      or current_setting('app.platform_admin', true) = 'true'
$$;
comment on function my_site_ids() is 'The sites that the signed-in user owns or is a member of; all of them for a platform admin, by profile or by the group of a verified token.';

do $$
declare
  t record;
begin
  for t in select c.oid::regclass name, c.relname from pg_class c
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname not like 'schema_migration%'
  loop
    execute format('alter table %s enable row level security', t.name);
    execute format('alter table %s force row level security', t.name);
    execute format('revoke all on %s from public', t.name);
    if t.relname !~ '^ingest_idempotency_p\d+$' then -- a partition has no policy: nobody reads it by its own name
      execute format('create policy owner_all on %s to current_user using (true) with check (true)', t.name);
      execute format('create policy service_role_all on %s to service_role using (true) with check (true)', t.name);
      execute format('grant select on %s to service_role', t.name);
    end if;
  end loop;
end $$;

-- What service_role may write without a function: what the requirements ask of it, and no ledger row.
grant insert on invoice_snapshot to service_role;

do $$
declare
  t text;
begin
  foreach t in array array['ingest_idempotency', 'site_usage_monthly', 'invoice_snapshot', 'site_plans', 'events',
                           'ingest_fallback_buffer', 'ingest_conflicts', 'site_members'] loop
    execute format('create policy member_reads on %I for select to authenticated using (site_id in (select my_site_ids()))', t);
    execute format('grant select on %I to authenticated', t);
  end loop;
end $$;

create policy member_reads on sites for select to authenticated using (id in (select my_site_ids()));

grant select on sites to authenticated;

grant execute on function signed_in_user(), my_site_ids(), utc_year_month(timestamptz), month_start(text),
  utc_text(timestamptz), ingest_key_text(bytea), ingest_uuid(bigint, timestamptz), ingest_uuid_id(uuid) to authenticated, service_role;
