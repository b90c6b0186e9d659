-- Tenants: a site, its members, its API keys; and the audit log of every change to them.
-- Sites are closed, never deleted: no ledger row may lose its tenant.

create table profiles (
  id   uuid primary key,
  role text not null default 'user' check (role in ('user', 'admin'))
);
comment on table profiles is 'Users by the subject of their token; role admin is a platform admin.';

create table sites (
  id                  uuid primary key default gen_random_uuid(),
  public_id           text not null unique check (public_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  user_id             uuid,
  name                text not null check (length(btrim(name)) between 1 and 200),
  origins             text[] not null default '{}' check (cardinality(origins) <= 50),
  status              text not null default 'active' check (status in ('active', 'closed')),
  rate_limit          integer check (rate_limit between 1 and 1000000),
  billing_enforcement boolean not null default true,
  key_version         smallint not null default 1 check (key_version in (1, 2)),
  next_key_version    smallint check (next_key_version in (1, 2)),
  next_key_month      text check (next_key_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  created_at          timestamptz not null default clock_timestamp(),
  check ((next_key_version is null) = (next_key_month is null))
);
create index sites_by_owner on sites (user_id);
comment on table sites is 'Tenants. origins: who may post from a browser; rate_limit: requests per 60 s and client, null = the default; billing_enforcement off: nothing is refused, what exceeds the plan is recorded as OVERAGE; key_version switches to next_key_version when next_key_month begins.';

create table site_members (
  site_id    uuid not null references sites on delete restrict,
  user_id    uuid not null,
  role       text not null default 'analyst' check (role in ('admin', 'operator', 'analyst', 'billing')),
  created_at timestamptz not null default clock_timestamp(),
  primary key (site_id, user_id)
);
create index site_members_by_user on site_members (user_id);
comment on table site_members is 'Who else may see a site; its owner is sites.user_id.';

create table site_api_keys (
  id         uuid primary key default gen_random_uuid(),
  site_id    uuid not null references sites on delete restrict,
  key_hash   bytea not null unique check (length(key_hash) = 32),
  prefix     text not null check (length(prefix) between 4 and 20),
  created_at timestamptz not null default clock_timestamp(),
  revoked_at timestamptz
);
create index site_api_keys_live on site_api_keys (site_id, created_at) where revoked_at is null;
comment on table site_api_keys is 'API keys of server clients, as SHA-256 of the key; at most two of a site are live, so that one can be rotated while the other serves.';

create table audit_log (
  id            bigint generated always as identity primary key,
  created_at    timestamptz not null default clock_timestamp(),
  actor_type    text not null check (actor_type in ('user', 'service_role', 'cron')),
  actor_id      text,
  action        text not null,
  resource_type text not null,
  resource_id   text,
  site_id       uuid,
  payload       jsonb not null default '{}'
);
create index audit_log_by_site on audit_log (site_id, id);
comment on table audit_log is 'Every administrative change and every download, in the commit of the change; append-only.';

create function append_only() returns trigger
language plpgsql set search_path = pg_catalog, public as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'RK011';
end $$;
comment on function append_only() is 'Statement trigger of append-only tables: also stops statements that match no row. Raises RK011.';

create trigger audit_log_append_only before update or delete or truncate on audit_log
  for each statement execute function append_only();

create function audit(p_actor text, p_action text, p_resource_type text, p_resource_id text, p_site uuid, p_payload jsonb)
returns void language sql volatile set search_path = pg_catalog, public as $$
  insert into audit_log (actor_type, actor_id, action, resource_type, resource_id, site_id, payload)
  values (case p_actor when 'cron' then 'cron' when 'service_role' then 'service_role' else 'user' end,
          p_actor, p_action, p_resource_type, p_resource_id, p_site, coalesce(p_payload, '{}'))
$$;
comment on function audit(text, text, text, text, uuid, jsonb) is 'Writes one audit row in the caller''s commit. p_actor is cron, service_role or the subject of a token.';
