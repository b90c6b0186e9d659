-- Payments, second part: what a provider said, whichever way it came: by a webhook, from its list of events, or from a file. Each
-- event is kept once, before anybody is told that it was taken, and applied from here.

alter table provider_events
  add column item text not null default '' check (length(item) <= 140),
  add column kind text check (kind in ('deposit_authorized', 'deposit_captured', 'deposit_failed', 'withdraw_paid', 'withdraw_failed', 'refund', 'refund_failed', 'chargeback', 'chargeback_won')),
  add column tx_id uuid,
  add column player_id uuid,
  add column amount bigint check (amount > 0),
  add column currency text,
  add column ref text check (length(ref) <= 100),
  add column provider_ref text check (length(provider_ref) <= 128),
  add column attempt_key text check (length(attempt_key) <= 300),
  add column error_code text check (length(error_code) <= 64),
  add column failures integer not null default 0,
  add column source text not null default 'file' check (source in ('webhook', 'list', 'file')),
  add column signature text not null default 'none' check (signature in ('valid', 'invalid', 'none'));
comment on column provider_events.kind is 'What the event means for money; null: an order of a shop, or nothing that concerns it.';
comment on column provider_events.ref is 'What the provider calls the refund or the dispute: each has its effect once, whichever events tell of it.';
comment on column provider_events.failures is 'Tries that failed since the last one that did not; attempts counts those too that found it had to wait.';
comment on column provider_events.signature is 'Of a webhook: valid, or what came while webhook_signature_enforced was off.';

create unique index provider_events_once on provider_events (provider, account, event_id, item);

alter table provider_events drop constraint provider_events_tenant_id_provider_account_event_id_key; -- which knew no items

create index provider_events_of_tx on provider_events (tx_id) where tx_id is not null;

create index provider_events_due on provider_events (next_attempt_at, received_at) where status in ('received', 'failed', 'held');

create or replace trigger provider_events_fixed before update of id, occurred_at, received_at, tenant_id, provider, account, event_id, item, type, kind, tx_id, player_id, amount, currency, ref,
  provider_ref, attempt_key, error_code, source, signature, payload_hash, payload on provider_events for each statement execute function append_only();

create view webhook_events with (security_invoker = true) as
  select e.id, e.provider, e.account, e.event_id, e.item, e.type, e.kind, e.tenant_id, e.tx_id, e.player_id, e.amount, e.currency, e.status, e.signature, e.attempts, e.last_error,
         e.payload_hash, e.occurred_at, e.received_at, e.processed_at
    from provider_events e where e.source = 'webhook';
comment on view webhook_events is 'The events that came by webhook.';

create table provider_customers (
  provider    text not null references payment_providers,
  account     text not null default '',
  customer_id text not null check (length(customer_id) between 1 and 128),
  player_id   uuid not null references players,
  primary key (provider, account, customer_id)
);
comment on table provider_customers is 'Which player a provider''s customer is, for events that name only the customer.';

create or replace function record_provider_event(p_tenant text, p_provider text, p_account text, p_event_id text, p_type text, p_payload jsonb, p_hash bytea, p_occurred timestamptz)
returns table (id uuid, created boolean, same boolean, processed boolean)
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  fresh boolean;
begin
  insert into provider_events (id, tenant_id, provider, account, event_id, type, payload, payload_hash, occurred_at)
  values (derived_uuid(concat_ws('|', 'event', p_tenant, p_provider, coalesce(p_account, ''), p_event_id)), p_tenant, p_provider, coalesce(p_account, ''), p_event_id, p_type, p_payload, p_hash, p_occurred)
  on conflict do nothing;
  fresh := found;
  return query select e.id, fresh, e.payload_hash = p_hash and e.tenant_id = p_tenant, e.processed_at is not null
    from provider_events e where e.provider = p_provider and e.account = coalesce(p_account, '') and e.event_id = p_event_id and e.item = '';
end $$;
comment on function record_provider_event(text, text, text, text, text, jsonb, bytea, timestamptz) is 'Keeps an event, once; same: whether one that was known said the same, of the same tenant.';

create index deposits_of_provider on deposits (provider, provider_ref) where provider_ref is not null;

create function event_owner(p_provider text, p_account text, p_event jsonb, out tenant_id text, out player_id uuid, out tx_id uuid, out known boolean)
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  tx record;
begin
  tx_id := coalesce((p_event ->> 'tx_id')::uuid, (select d.id from deposits d where d.provider = p_provider and d.provider_ref = p_event ->> 'provider_ref' order by d.created_at limit 1));
  select d.tenant_id, d.player_id into tx from deposits d where d.id = event_owner.tx_id
  union all select w.tenant_id, w.player_id from withdrawals w where w.id = event_owner.tx_id;
  player_id := coalesce((p_event ->> 'player_id')::uuid, (select c.player_id from provider_customers c
    where c.provider = p_provider and c.account = p_account and c.customer_id = p_event ->> 'customer_id'), tx.player_id);
  tenant_id := coalesce(p_event ->> 'tenant_id', tx.tenant_id, (select p.tenant_id from players p where p.id = event_owner.player_id));
  known := exists (select from players p where p.id = event_owner.player_id and p.tenant_id = event_owner.tenant_id);
end $$;
comment on function event_owner(text, text, jsonb) is 'Whose event it is: as it says, or as its transaction, what the provider calls that, or the customer that it names are known; known: whether the tenant has such a player.';

create function keep_event(p_provider text, p_account text, p_source text, p_signature text, p_hash bytea, p_event jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  owner  record;
  kept   provider_events;
  fresh  boolean;
  orphan boolean;
  -- what anybody can send must not take the place of what the provider signs
  name   text := coalesce(p_event ->> 'item', '') || case when p_source = 'webhook' and p_signature <> 'valid' then '#unsigned' else '' end;
begin
  owner := event_owner(p_provider, p_account, p_event);
  orphan := p_event ->> 'kind' is not null and not owner.known;
  insert into provider_events (id, tenant_id, provider, account, event_id, item, type, kind, tx_id, player_id, amount, currency, ref, provider_ref, attempt_key, error_code, source, signature, payload, payload_hash,
                               occurred_at, status, processed_at, result)
  select derived_uuid(concat_ws('|', 'webhook', p_provider, p_account, p_event ->> 'event_id', e.item)), coalesce(owner.tenant_id, 'unassigned'), p_provider, p_account, p_event ->> 'event_id', e.item,
         p_event ->> 'type', p_event ->> 'kind', owner.tx_id, owner.player_id, case when p_event ? 'amount_minor' then minor_units(p_event -> 'amount_minor') end,
         p_event ->> 'currency', p_event ->> 'ref', p_event ->> 'provider_ref', p_event ->> 'attempt_key', left(p_event ->> 'error_code', 64), p_source, p_signature, p_event -> 'payload', p_hash,
         least((p_event ->> 'occurred_at')::timestamptz, clock_timestamp()), case when e.idle then 'ignored' else 'received' end, case when e.idle then clock_timestamp() end,
         case when orphan then '{"outcome": "unknown_player"}'::jsonb when e.idle then '{"outcome": "ignore"}' end
    from (select name item, orphan or coalesce((p_event ->> 'ignored')::boolean, false) idle) e
  on conflict do nothing returning * into kept;
  fresh := kept.id is not null;
  if not fresh then
    select * into kept from provider_events e where e.provider = p_provider and e.account = p_account and e.event_id = p_event ->> 'event_id' and e.item = name;
    if kept.source = 'webhook' and p_source = 'webhook' and kept.payload_hash <> p_hash then
      perform record_finding(p_provider, kept.tenant_id, kept.player_id, kept.tx_id, jsonb_build_object('provider_event_id', kept.event_id, 'payload', p_event -> 'payload'), 'payload_conflict', 'ERROR',
        'The provider sent an event again with another body; the first one counts.');
    end if;
  elsif orphan then
    perform record_finding(p_provider, owner.tenant_id, owner.player_id, null, jsonb_build_object('provider_event_id', kept.event_id, 'tx_id', kept.tx_id, 'amount_minor', kept.amount::text), 'unknown_player',
      'ERROR', 'An event of the provider names a player or tenant that does not exist; no money was moved.');
  end if;
  return jsonb_build_object('id', kept.id, 'created', fresh, 'same', kept.payload_hash = p_hash, 'unknown', orphan, 'tx_id', kept.tx_id,
    'due', kept.processed_at is null and kept.status <> 'held');
end $$;
comment on function keep_event(text, text, text, text, bytea, jsonb) is
  'Keeps one event, once by (provider, account, event, item): {event_id, item?, type, kind?, tx_id?, tenant_id?, player_id?, customer_id?, amount_minor?, currency?, ref?, provider_ref?, attempt_key?, error_code?, occurred_at, ignored?, payload}. The same event with another body, or of an unknown player, leaves a finding.';

create function receive_webhook(p_provider text, p_account text, p_signature text, p_hash bytea, p_events jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  provider payment_providers;
  kept     jsonb;
begin
  select * into provider from payment_providers p where p.provider = p_provider;
  if provider.provider is null then return '{"outcome": "refused", "code": "UNSUPPORTED_PROVIDER"}'; end if;
  if p_signature <> 'valid' and (not provider.test_only or exists (
       select from jsonb_array_elements(p_events) e cross join lateral event_owner(p_provider, p_account, e) o where flag_on('webhook_signature_enforced', coalesce(o.tenant_id, 'unassigned'), o.player_id::text))) then
    return '{"outcome": "refused", "code": "WEBHOOK_SIGNATURE_INVALID"}';
  end if;
  select jsonb_agg(keep_event(p_provider, p_account, 'webhook', p_signature, p_hash, e.event) order by e.n) into kept from jsonb_array_elements(p_events) with ordinality e (event, n);
  return jsonb_build_object('outcome', 'done', 'events', coalesce(kept, '[]'));
end $$;
comment on function receive_webhook(text, text, text, bytea, jsonb) is
  'Takes what a webhook said, in one commit; signature: valid, invalid or none. What is not valid is refused for every real provider, and for a test provider where webhook_signature_enforced is on for the tenant. Each event answers {id, created, same, unknown, due}; due: it waits to be applied.';

create function receive_events(p_provider text, p_account text, p_source text, p_events jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  kept jsonb;
begin
  if p_source not in ('list', 'file') then raise exception 'Events come from a list or a file.' using errcode = 'RK015'; end if;
  select jsonb_agg(keep_event(p_provider, p_account, p_source, 'none', sha256(convert_to(e.event::text, 'UTF8')), e.event) order by e.n) into kept
    from jsonb_array_elements(p_events) with ordinality e (event, n);
  return jsonb_build_object('known', (select count(*)::text from jsonb_array_elements(kept) k where not (k -> 'created')::boolean),
    'created', (select count(*)::text from jsonb_array_elements(kept) k where (k -> 'created')::boolean), 'due', (select coalesce(jsonb_agg(k -> 'id'), '[]') from jsonb_array_elements(kept) k where (k -> 'due')::boolean));
end $$;
comment on function receive_events(text, text, text, jsonb) is 'Takes events that were asked for or read from a file, beside those that webhooks brought: what is known already stays as it is. Raises RK015, 23503.';

grant select on webhook_events to service_role;

create function set_provider_customer(p_tenant text, p_provider text, p_customer text, p_player uuid, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  if not exists (select from players p where p.id = p_player and p.tenant_id = p_tenant) then return declined('PLAYER_NOT_FOUND'); end if;
  insert into provider_customers as c (provider, customer_id, player_id) values (p_provider, p_customer, p_player)
  on conflict (provider, account, customer_id) do update set player_id = excluded.player_id
    where exists (select from players p where p.id = c.player_id and p.tenant_id = p_tenant);
  if not found then return declined('PLAYER_OF_OTHER_TENANT'); end if;
  perform audit(p_actor, 'provider_customer', 'player', p_player::text, null, jsonb_build_object('provider', p_provider, 'customer_id', p_customer));
  return jsonb_build_object('outcome', 'done', 'provider', p_provider, 'customer_id', p_customer, 'player_id', p_player);
end $$;
comment on function set_provider_customer(text, text, text, uuid, text) is 'Says which player of the tenant a provider''s customer is. Audited as provider_customer. Raises 23503 (no such provider), 23514.';

grant execute on function set_provider_customer(text, text, text, uuid, text) to kernel_money;

select secure_table('provider_customers', false);

grant execute on function receive_webhook(text, text, text, bytea, jsonb) to kernel_webhook;

grant execute on function receive_events(text, text, text, jsonb) to kernel_jobs;
