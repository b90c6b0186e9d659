-- Who may do what: roles are created here, every later file grants to them; nothing is granted to PUBLIC.
-- Login roles have no password until the migrator sets the verifier of their secret.

alter default privileges revoke execute on functions from public;

revoke all on schema public from public;

do $$
declare
  r record;
begin
  for r in select * from (values
    ('service_role',   'nologin'),
    ('authenticated',  'nologin'),
    ('kernel_ingest',  'login'),
    ('kernel_deliver', 'login'),
    ('kernel_jobs',    'login'),
    ('kernel_api',     'login')) as roles(name, kind)
  loop
    begin
      execute format('create role %I %s nosuperuser nocreatedb nocreaterole noreplication nobypassrls', r.name, r.kind);
    exception when duplicate_object or unique_violation then null; -- roles belong to the cluster, databases share them
    end;
  end loop;
end $$;

grant usage on schema public to service_role, authenticated, kernel_ingest, kernel_deliver, kernel_jobs, kernel_api;

-- kernel_api reads for signed-in users through the policies of authenticated.
grant authenticated to kernel_api;

create function set_role_verifier(p_role name, p_verifier text) returns name
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  if p_verifier !~ '^SCRAM-SHA-256\$' then
    raise exception 'A role takes a SCRAM verifier, never a password.' using errcode = 'RK005';
  end if;
  if p_role not in ('kernel_ingest', 'kernel_deliver', 'kernel_jobs', 'kernel_api') then
    raise exception 'The role % is not one of the kernel''s login roles.', p_role using errcode = 'RK005';
  end if;
  execute format('alter role %I password %L', p_role, p_verifier);
  return p_role;
end $$;

comment on function set_role_verifier(name, text) is
  'Sets the SCRAM verifier of a login role, so that no password travels in SQL. Migrator only. Raises RK005.';
