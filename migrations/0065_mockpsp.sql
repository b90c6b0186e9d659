-- Payments, fifth part: the mock provider learns what real ones do: to decide later, to call back twice, out of order or never, to
-- capture a part; and it lists what it knows, numbered without a gap, so that a gap in what it lists can be seen.

alter table psp_events
  add column no bigint,
  add column told_amount bigint,
  add column decides_at timestamptz,
  add column mode text not null default 'success';
comment on column psp_events.no is 'Its place in the provider''s list, from 1 without a gap; null before 0065.';
comment on column psp_events.told_amount is 'What the provider says the amount was, where it differs from the order.';

create unique index psp_events_in_order on psp_events (provider, no);

create table psp_callbacks (
  id        bigint generated always as identity primary key,
  due_at    timestamptz not null,
  sent_at   timestamptz,
  attempts  integer not null default 0,
  event_id  text not null,
  body      text not null
);
create index psp_callbacks_due on psp_callbacks (due_at) where sent_at is null;
comment on table psp_callbacks is 'Webhooks that the mock provider has yet to send, or has sent.';

create function mockpsp_event(e psp_events) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('provider_event_id', e.provider_event_id, 'event_type', case
      when e.action = 'authorize_deposit' then case e.status when 'AUTHORIZED' then 'deposit_authorized' else 'deposit_failed' end
      when e.action = 'capture_deposit' then case e.status when 'CAPTURED' then 'deposit_captured' else 'deposit_failed' end
      when e.action = 'payout_withdrawal' then case e.status when 'PAID' then 'withdraw_paid' else 'withdraw_failed' end
      else case e.status when 'REVERSED' then 'deposit_refunded' else 'refund_failed' end end,
    'provider_ref', e.provider_ref, 'tx_id', e.tx_id, 'tenant_id', e.tenant_id, 'player_id', e.player_id, 'amount_minor', coalesce(e.told_amount, e.amount)::text, 'currency', e.currency,
    'idempotency_key', e.psp_idem_key, 'ref', case e.action when 'refund_deposit' then left(e.psp_idem_key, 100) end, 'occurred_at', utc_text(e.occurred_at))
$$;
comment on function mockpsp_event(psp_events) is 'An event of the mock provider as its webhooks and its list tell it.';

create function mockpsp_tell(e psp_events) returns void
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  if e.mode = 'lost' then return; end if;
  if e.mode = 'out_of_order' and e.action = 'capture_deposit' then
    insert into psp_callbacks (due_at, event_id, body) values (clock_timestamp() + interval '2 seconds', 'authorize:' || e.provider_event_id,
      (mockpsp_event(e) || jsonb_build_object('provider_event_id', 'authorize:' || e.provider_event_id, 'event_type', 'deposit_authorized'))::text);
  end if;
  insert into psp_callbacks (due_at, event_id, body)
  select clock_timestamp(), e.provider_event_id, mockpsp_event(e)::text from generate_series(1, case e.mode when 'duplicate' then 2 else 1 end);
end $$;
comment on function mockpsp_tell(psp_events) is 'Puts the webhooks of a decided order on their way, as its mode says: once, twice, after their successor, or not at all.';

create or replace function mockpsp(p_action text, p_key text, p_order jsonb, p_outcome text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  asked   text := case when flag_on('allow_test_payment_methods', p_order ->> 'tenant_id', p_order ->> 'player_id') then lower(p_outcome) end;
  success text := case p_action when 'authorize_deposit' then 'AUTHORIZED' when 'capture_deposit' then 'CAPTURED' when 'payout_withdrawal' then 'PAID' else 'REVERSED' end;
  tx      text := p_order ->> 'tx_id';
  amount  bigint := minor_units(p_order -> 'amount_minor');
  event   psp_events;
  fresh   boolean := false;
begin
  perform pg_advisory_xact_lock(hashtextextended('mockpsp', 65)); -- one number after the other
  select * into event from psp_events e where e.provider = 'mockpsp' and e.action = p_action and e.psp_idem_key = p_key;
  if event.provider is null then
    insert into psp_events (provider, action, psp_idem_key, tx_id, tenant_id, player_id, amount, currency, status, provider_ref, provider_event_id, no, mode, told_amount, decides_at)
    select 'mockpsp', p_action, p_key, tx::uuid, p_order ->> 'tenant_id', (p_order ->> 'player_id')::uuid, amount, p_order ->> 'currency',
           case when asked in ('fail', 'failed', 'decline') then 'FAILED' when asked in ('timeout', 'pending', 'timeout_then_success') then 'PENDING' else success end,
           'mockpsp:' || tx, p_action || ':' || tx || ':' || left(encode(sha256(convert_to(p_key, 'UTF8')), 'hex'), 8),
           1 + coalesce((select max(e.no) from psp_events e where e.provider = 'mockpsp'), 0),
           case when asked in ('duplicate', 'out_of_order', 'partial', 'lost', 'timeout_then_success') then asked else 'success' end,
           case when asked = 'partial' and amount > 1 then amount / 2 end, case when asked = 'timeout_then_success' then clock_timestamp() + interval '3 seconds' end
    returning * into event;
    fresh := true;
    if event.status <> 'PENDING' then perform mockpsp_tell(event); end if;
  elsif event.status = 'PENDING' and asked is distinct from 'timeout' and asked is distinct from 'pending' and (event.decides_at is null or event.decides_at <= clock_timestamp()) then
    update psp_events e set status = case when asked in ('fail', 'failed', 'decline') then 'FAILED' else success end, occurred_at = clock_timestamp()
     where e.provider = 'mockpsp' and e.action = p_action and e.psp_idem_key = p_key returning * into event;
    perform mockpsp_tell(event);
  end if;
  if event.mode = 'lost' and fresh then return '{"status": "PENDING"}'; end if; -- the money moved, and nobody is told who does not ask again
  return jsonb_build_object('provider', 'mockpsp', 'status', case when event.told_amount is null then event.status else 'PENDING' end, 'provider_ref', event.provider_ref,
    'provider_event_id', event.provider_event_id, 'amount_minor', coalesce(event.told_amount, event.amount)::text, 'currency', event.currency, 'occurred_at', utc_text(event.occurred_at));
end $$;
comment on function mockpsp(text, text, jsonb, text) is
  'The mock payment provider: an order {tx_id, tenant_id, player_id, amount_minor, currency} under a key. It succeeds, or where test methods are allowed does what p_outcome asks: success, fail, timeout (undecided until it is asked again), timeout_then_success (decides after 3 s and calls back), duplicate, out_of_order, partial (captures half), lost (moves the money, and tells nobody but who asks again or lists). The first result is final.';

create function mockpsp_callbacks(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  event psp_events;
  found_ jsonb;
begin
  for event in update psp_events e set status = case e.action when 'authorize_deposit' then 'AUTHORIZED' when 'capture_deposit' then 'CAPTURED' when 'payout_withdrawal' then 'PAID' else 'REVERSED' end,
                      occurred_at = clock_timestamp() where e.status = 'PENDING' and e.decides_at <= clock_timestamp() returning * loop
    perform mockpsp_tell(event);
  end loop;
  with due as (
      select x.id, x.due_at from psp_callbacks x where x.sent_at is null and x.attempts < 8 and x.due_at <= clock_timestamp() order by x.due_at, x.id limit least(p_limit, 100) for update skip locked
    ), taken as (
      update psp_callbacks c set attempts = c.attempts + 1, due_at = clock_timestamp() + interval '10 seconds' * 2 ^ c.attempts from due d where c.id = d.id returning c.id, c.body, d.due_at as was_due)
    select coalesce(jsonb_agg(jsonb_build_object('id', t.id::text, 'body', t.body) order by t.was_due, t.id), '[]') into found_ from taken t;
  return found_;
end $$;
comment on function mockpsp_callbacks(integer) is 'Decides what the mock provider was to decide later, and takes webhooks that it has to send; each comes again, later and later, until mockpsp_sent says that it was taken.';

create function mockpsp_sent(p_callbacks jsonb) returns void
language sql volatile security definer set search_path = pg_catalog, public as $$
  update psp_callbacks c set sent_at = clock_timestamp() where c.id in (select x::bigint from jsonb_array_elements_text(p_callbacks) x)
$$;
comment on function mockpsp_sent(jsonb) is 'Notes webhooks of the mock provider that were taken.';

create function mockpsp_list(p_from timestamptz, p_to timestamptz, p_after bigint, p_limit integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  with page as (
    select e.* from psp_events e where e.provider = 'mockpsp' and e.occurred_at >= p_from and e.occurred_at < p_to and e.no > coalesce(p_after, 0) order by e.no limit least(greatest(p_limit, 1), 1000)
  )
  select jsonb_build_object('events', (select coalesce(jsonb_agg(mockpsp_event(p) || jsonb_build_object('no', p.no::text) order by p.no), '[]') from page p where p.status <> 'PENDING'),
    'next', (select case when count(*) = least(greatest(p_limit, 1), 1000) then max(p.no)::text end from page p),
    -- numbers are given without a gap: one that is missing below the last is an event that is not told
    'gap', (select min(n.before)::text from (select e.no, lag(e.no, 1, 0::bigint) over (order by e.no) before from psp_events e where e.provider = 'mockpsp' and e.no is not null) n where n.no > n.before + 1),
    'last', (select coalesce(max(e.no), 0)::text from psp_events e where e.provider = 'mockpsp'))
$$;
comment on function mockpsp_list(timestamptz, timestamptz, bigint, integer) is 'A page of the mock provider''s events of a window, by their numbers; gap: the number after which one is missing.';

select secure_table('psp_callbacks', false);

grant execute on function mockpsp_callbacks(integer), mockpsp_sent(jsonb), mockpsp_list(timestamptz, timestamptz, bigint, integer) to kernel_jobs;
