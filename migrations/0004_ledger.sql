-- The usage ledger and what is written in the same commit: usage row, outbox, conflicts; and the invoice snapshot that freezes it.
-- The ledger is append-only for everyone. Keys are bytes: 32 = v1, 33 (0x02 first) = v2, 16 = v3; ingest_key_text shows them.

create type billing_state as enum ('ACCEPTED', 'OVERAGE', 'DEGRADED_CAPTURE', 'RECOVERED', 'REJECTED_QUOTA');

create type billing_reason as enum ('default_billable', 'rejected_quota', 'conversion', 'interaction_view', 'scroll_depth', 'system', 'canary');

create type ingest_fallback_status as enum ('PENDING', 'PROCESSING', 'RECOVERED', 'FAILED');

-- Bodies in the RETURN form are bound when they are created, so they need no search path, and they are inlined.
create function billing_reason_of(p_policy text, p_category text, p_action text) returns billing_reason
language sql immutable parallel safe
return case when p_policy = 'all' then 'default_billable'
            when p_category = 'conversion' then 'conversion'
            when p_category = 'interaction' and p_action = 'view' then 'interaction_view'
            when p_category = 'interaction' and p_action = 'scroll_depth' then 'scroll_depth'
            when p_category = 'system' then 'system'
            else 'default_billable' end::billing_reason;
comment on function billing_reason_of(text, text, text) is 'Why an event of this category and action is billable or not under a policy; scroll_depth and system are not billable.';

create function utc_year_month(timestamptz) returns text
language sql immutable parallel safe
return lpad(extract(year from $1 at time zone 'UTC')::text, 4, '0') || '-' || lpad(extract(month from $1 at time zone 'UTC')::text, 2, '0');
comment on function utc_year_month(timestamptz) is 'The UTC month of an instant, YYYY-MM.';

create function month_start(text) returns timestamptz
language sql immutable parallel safe
return make_date(left($1, 4)::integer, right($1, 2)::integer, 1)::timestamp at time zone 'UTC';
comment on function month_start(text) is 'The first instant of a UTC month YYYY-MM.';

create sequence ingest_id_seq as bigint cache 1;

-- Columns in the order that wastes no padding. An id of a site follows its commit order, for it is drawn under lock_site.
create table ingest_idempotency (
  id                  bigint not null default nextval('ingest_id_seq'),
  created_at          timestamptz not null,
  expires_at          timestamptz not null,
  site_id             uuid not null,
  billing_state       billing_state not null default 'ACCEPTED',
  billing_reason      billing_reason not null default 'default_billable',
  idempotency_version smallint not null default 1 check (idempotency_version between 1 and 3),
  billable            boolean not null default true,
  year_month          text not null generated always as (utc_year_month(created_at)) stored,
  idempotency_key     bytea not null check (length(idempotency_key) in (16, 32, 33)),
  payload_hash        bytea check (length(payload_hash) = 32),
  check (billing_state <> 'REJECTED_QUOTA' or not billable),
  check (expires_at >= created_at + interval '90 days')
) partition by hash (site_id);
comment on table ingest_idempotency is 'The usage ledger, and the only authority of an invoice: usage of (site, month) is the number of its billable rows. A key has at most one row that is not rejected, and at most one rejected row a month.';
comment on column ingest_idempotency.payload_hash is 'v3 only: SHA-256 of the RFC 8785 form of the payload without transport fields.';

create unique index ingest_once on ingest_idempotency (site_id, idempotency_key) where billing_state <> 'REJECTED_QUOTA';
create unique index ingest_rejected_once on ingest_idempotency (site_id, idempotency_key, year_month) where billing_state = 'REJECTED_QUOTA';
create index ingest_month on ingest_idempotency (site_id, year_month, billable, billing_state);
create index ingest_order on ingest_idempotency using brin (id) with (pages_per_range = 16, autosummarize = on);

create table site_usage_monthly (
  site_id        uuid not null,
  year_month     text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  event_count    bigint not null default 0,
  overage_count  bigint not null default 0,
  last_synced_at timestamptz,
  primary key (site_id, year_month)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
comment on table site_usage_monthly is 'The usage that the quota decision reads, added to in the ledger''s own commit; corrected to the ledger by delta.';

create table ingest_fallback_buffer (
  id              bigint primary key,
  created_at      timestamptz not null,
  next_attempt_at timestamptz not null,
  batch_id        uuid not null,
  site_id         uuid not null,
  status          ingest_fallback_status not null default 'PENDING',
  attempts        integer not null default 0,
  payload         jsonb not null,
  request_id      text,
  client_ip       text,
  user_agent      text,
  error_reason    text check (length(error_reason) <= 500)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
create index ingest_fallback_by_batch on ingest_fallback_buffer (batch_id);
create index ingest_fallback_due on ingest_fallback_buffer (next_attempt_at) where status <> 'FAILED';
comment on table ingest_fallback_buffer is 'The outbox: one row for each admitted event, written in the ledger''s commit and deleted in the commit that writes it to events. id is the ledger row''s id.';

create table events (
  id           bigint primary key,
  site_id      uuid not null,
  received_at  timestamptz not null,
  delivered_at timestamptz not null default clock_timestamp(),
  payload      jsonb not null,
  request_id   text,
  client_ip    text,
  user_agent   text
) with (autovacuum_vacuum_insert_scale_factor = 0.05);
create index events_by_site on events (site_id, id);
comment on table events is 'Delivered events; id is the ledger row''s id. Holds personal data, so it has a shorter life than the ledger.';

create table ingest_conflicts (
  site_id         uuid not null,
  idempotency_key bytea not null,
  other_hash      bytea not null,
  seen_at         timestamptz not null default clock_timestamp(),
  request_id      text,
  primary key (site_id, idempotency_key, other_hash)
);
comment on table ingest_conflicts is 'An event id that came again with another payload: answered 409, never billed, never swallowed.';

create table ingest_publish_failures (
  id                  bigint generated always as identity primary key,
  created_at          timestamptz not null default clock_timestamp(),
  site_public_id      text not null,
  error_code          text not null,
  error_message_short text check (length(error_message_short) <= 500)
);
create index ingest_publish_failures_by_time on ingest_publish_failures (created_at);
comment on table ingest_publish_failures is 'Publishes that failed after the commit; the outbox still holds the event.';

create table invoice_snapshot (
  site_id       uuid not null,
  year_month    text not null check (year_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  event_count   bigint not null check (event_count >= 0),
  overage_count bigint not null check (overage_count between 0 and event_count),
  snapshot_hash text,
  generated_at  timestamptz not null default clock_timestamp(),
  generated_by  text,
  commit_sha    text,
  hash_version  smallint not null default 0,
  primary key (site_id, year_month)
);
comment on table invoice_snapshot is 'The frozen invoice of (site, month). hash_version 0 is a row that was not written by the freeze and cannot be verified.';
