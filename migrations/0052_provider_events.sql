-- Events of payment providers, kept with their payload so that each can be applied again: what they credit and take back, by the
-- catalogue of products, once an order line and once a reversal, whichever event and however often it comes.

create table products (
  tenant_id  text not null check (tenant_id ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  provider   text not null check (provider ~ '^[a-z0-9_-]{1,64}$'),
  product_id text not null check (length(product_id) between 1 and 128),
  currency   text not null default 'POINTS' references currencies,
  points     bigint not null check (points > 0),
  version    integer not null default 1,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, provider, product_id)
);
comment on table products is 'What one piece of a provider''s product credits, in minor units of its currency. A change counts from then on; what was credited keeps its amount and the version.';

create table provider_events (
  id              uuid primary key,
  occurred_at     timestamptz not null,
  received_at     timestamptz not null default clock_timestamp(),
  processed_at    timestamptz,
  next_attempt_at timestamptz,
  attempts        integer not null default 0,
  tenant_id       text not null check (tenant_id ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  provider        text not null check (provider ~ '^[a-z0-9_-]{1,64}$'),
  account         text not null default '' check (length(account) <= 128),
  event_id        text not null check (length(event_id) between 1 and 128),
  type            text not null check (length(type) between 1 and 64),
  status          text not null default 'received' check (status in ('received', 'processed', 'ignored', 'failed', 'held', 'dead')),
  payload_hash    bytea not null check (length(payload_hash) = 32),
  payload         jsonb not null,
  result          jsonb,
  last_error      text check (length(last_error) <= 1000),
  unique (tenant_id, provider, account, event_id),
  check ((processed_at is not null) = (status in ('processed', 'ignored')))
);
create index provider_events_open on provider_events (occurred_at, id) where processed_at is null;
comment on table provider_events is 'Each event of a provider once, with what it said; only what became of it changes. processed_at: it has had its effect, in that commit. held: a reversal that the wallet could not bear and the flag allow_negative_balance did not allow. dead: tried as often as allowed; a replay tries it again.';

create trigger provider_events_fixed before update of id, occurred_at, received_at, tenant_id, provider, account, event_id, type, payload_hash, payload on provider_events
  for each statement execute function append_only();

create trigger provider_events_no_delete before delete or truncate on provider_events for each statement execute function append_only();

create table order_lines (
  transfer_id uuid primary key,
  created_at  timestamptz not null default clock_timestamp(),
  owner_id    uuid not null,
  tenant_id   text not null,
  provider    text not null,
  order_id    text not null,
  line_id     text not null,
  product_id  text not null,
  product_version integer not null,
  quantity    bigint not null,
  amount      bigint not null,
  currency    text not null,
  unique (tenant_id, provider, order_id, line_id)
);
comment on table order_lines is 'The credit of each line of an order: what a reversal takes back from. Append-only.';

create trigger order_lines_append_only before update or delete or truncate on order_lines for each statement execute function append_only();

create function set_product(p_tenant text, p_provider text, p_product text, p_points bigint, p_currency text, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  product products;
begin
  insert into products as p (tenant_id, provider, product_id, points, currency) values (p_tenant, p_provider, p_product, p_points, coalesce(p_currency, 'POINTS'))
  on conflict (tenant_id, provider, product_id) do update set points = excluded.points, currency = excluded.currency, version = p.version + 1, updated_at = clock_timestamp()
  returning * into product;
  perform audit(p_actor, 'product', 'product', p_provider || ':' || p_product, null, to_jsonb(product));
  return to_jsonb(product) || jsonb_build_object('points', product.points::text);
end $$;
comment on function set_product(text, text, text, bigint, text, text) is 'Sets what a product credits; p_currency null: POINTS. Audited as product. Raises 23503, 23514.';

create function record_provider_event(p_tenant text, p_provider text, p_account text, p_event_id text, p_type text, p_payload jsonb, p_hash bytea, p_occurred timestamptz)
returns table (id uuid, created boolean, same boolean, processed boolean)
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  wanted uuid := derived_uuid(concat_ws('|', 'event', p_tenant, p_provider, coalesce(p_account, ''), p_event_id));
  fresh  boolean;
begin
  insert into provider_events (id, tenant_id, provider, account, event_id, type, payload, payload_hash, occurred_at)
  values (wanted, p_tenant, p_provider, coalesce(p_account, ''), p_event_id, p_type, p_payload, p_hash, p_occurred) on conflict do nothing;
  fresh := found;
  return query select e.id, fresh, e.payload_hash = p_hash, e.processed_at is not null from provider_events e where e.id = wanted;
end $$;
comment on function record_provider_event(text, text, text, text, text, jsonb, bytea, timestamptz) is 'Keeps an event, once; same: whether one that was known said the same.';

create function event_order(p_payload jsonb) returns text
language sql immutable parallel safe
return coalesce(p_payload ->> 'orderId', p_payload ->> 'order_id', p_payload #>> '{order,id}');
comment on function event_order(jsonb) is 'The order that an event is about.';

create function event_lines(p_payload jsonb) returns table (nth bigint, line_id text, product_id text, quantity text, amount text)
language sql immutable parallel safe set search_path = pg_catalog, public as $$
  with given as (select coalesce(p_payload -> 'lines', p_payload -> 'items', p_payload #> '{order,lines}', p_payload #> '{order,items}') list)
  select l.nth, coalesce(l.line ->> 'lineId', l.line ->> 'line_id', case when g.list is not null then l.line ->> 'id' end, l.line ->> 'productId', l.line ->> 'product_id', l.line #>> '{product,id}'),
         coalesce(l.line ->> 'productId', l.line ->> 'product_id', l.line #>> '{product,id}'), coalesce(l.line ->> 'quantity', '1'), coalesce(l.line ->> 'amount_minor', l.line ->> 'points')
    from given g cross join lateral jsonb_array_elements(case when jsonb_typeof(g.list) = 'array' then g.list else jsonb_build_array(p_payload) end) with ordinality l (line, nth)
$$;
comment on function event_lines(jsonb) is 'The lines of an event: of its order or its list, or the event itself as one line. A line without an id is known by its product.';

create function plan_credit(p_event provider_events) returns jsonb
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  owner   text := coalesce(p_event.payload ->> 'uid', p_event.payload #>> '{customer,metadata,uid}', p_event.payload #>> '{order,customer,metadata,uid}', p_event.payload ->> 'player_id');
  line    record;
  product products;
  known   order_lines;
  steps   jsonb := '[]';
begin
  if event_order(p_event.payload) is null then return '{"error": "Missing orderId in the event."}'; end if;
  for line in select * from event_lines(p_event.payload) loop
    if (owner ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and line.product_id is not null) is not true then
      return '{"error": "Missing uid or productId in the event."}';
    elsif line.quantity !~ '^[1-9]\d{0,8}$' then
      return '{"error": "The quantity is not a whole number above zero."}';
    end if;
    select * into known from order_lines o where o.tenant_id = p_event.tenant_id and o.provider = p_event.provider and o.order_id = event_order(p_event.payload) and o.line_id = line.line_id;
    if known.transfer_id is not null then
      steps := steps || jsonb_build_object('action', 'already_credited', 'line_id', line.line_id, 'transfer_id', known.transfer_id);
      continue;
    end if;
    select * into product from products p where p.tenant_id = p_event.tenant_id and p.provider = p_event.provider and p.product_id = line.product_id;
    if product.product_id is null then return jsonb_build_object('error', 'Product not found: ' || line.product_id); end if;
    if product.points::numeric * line.quantity::bigint > 9223372036854775807 then return '{"error": "The amount is out of range."}'; end if;
    steps := steps || jsonb_build_object('action', 'credit', 'line_id', line.line_id, 'product_id', line.product_id, 'product_version', product.version, 'quantity', line.quantity,
      'owner_id', owner, 'currency', product.currency, 'amount_minor', (product.points * line.quantity::bigint)::text);
  end loop;
  return jsonb_build_object('action', 'credit', 'steps', steps);
end $$;
comment on function plan_credit(provider_events) is 'What a purchase would credit, line by line; or why it cannot.';

create function plan_reversal(p_event provider_events) returns jsonb
language plpgsql stable set search_path = pg_catalog, public as $$
declare
  order_ text := event_order(p_event.payload);
  named  boolean := exists (select from event_lines(p_event.payload) l where l.line_id is not null);
  left_  numeric := case when named then null else coalesce(p_event.payload ->> 'amount_minor', p_event.payload ->> 'points')::numeric end;
  line   record;
  part   numeric;
  steps  jsonb := '[]';
begin
  for line in
    select o.transfer_id, o.line_id, o.owner_id, o.currency, o.amount - coalesce((select sum(r.amount) from transfers r where r.reverses = t.no), 0) remaining,
           coalesce(l.amount::numeric, case when l.nth is not null and (p_event.payload ? 'quantity' or p_event.payload ?| array['lines', 'items', 'order'])
             then least(o.amount / o.quantity * l.quantity::numeric, o.amount) end) wanted,
           exists (select from transfers r where r.tenant_id = o.tenant_id and r.provider = o.provider and r.provider_event_id = 'reversal:' || derived_uuid(p_event.id || '|' || o.line_id)) done
      from order_lines o join transfers t on t.id = o.transfer_id left join event_lines(p_event.payload) l on l.line_id = o.line_id
     where o.tenant_id = p_event.tenant_id and o.provider = p_event.provider and o.order_id = order_ and (not named or l.nth is not null)
     order by t.no
  loop
    if line.done then
      steps := steps || jsonb_build_object('action', 'already_reversed', 'line_id', line.line_id);
      left_ := case when left_ is not null then 0 end;
      continue;
    end if;
    part := coalesce(line.wanted, least(left_, line.remaining), line.remaining);
    if part > line.remaining and line.wanted is not null and line.remaining > 0 or part < 0 or part <> trunc(part) then
      return jsonb_build_object('error', 'The reversals would exceed the original of line: ' || line.line_id);
    end if;
    part := least(part, line.remaining);
    left_ := left_ - part;
    steps := steps || case when part = 0 then jsonb_build_object('action', 'nothing_left', 'line_id', line.line_id)
      else jsonb_build_object('action', 'reverse', 'line_id', line.line_id, 'transfer_id', line.transfer_id, 'owner_id', line.owner_id, 'currency', line.currency, 'amount_minor', part::text) end;
  end loop;
  if steps = '[]' then return jsonb_build_object('error', 'Original purchase entry not found for order: ' || coalesce(order_, '(none)')); end if;
  if left_ > 0 then return jsonb_build_object('error', 'The reversals would exceed the original of order: ' || order_); end if;
  return jsonb_build_object('action', 'reverse', 'steps', steps);
exception when data_exception then
  return '{"error": "An amount is not a whole number above zero."}';
end $$;
comment on function plan_reversal(provider_events) is
  'What a refund or chargeback would take back: the lines that it names, by amount or quantity, or an amount of the whole order, or all that is left of it; never more than was credited, whatever other events took back before.';

create function plan_event(p_event provider_events) returns jsonb
language sql stable set search_path = pg_catalog, public
return case when p_event.type in ('ON_ORDER_COMPLETED', 'ON_DELIVERY_ITEM_ADDED') then plan_credit(p_event)
            when p_event.type in ('ON_REFUND', 'ON_CHARGEBACK') then plan_reversal(p_event)
            else '{"action": "ignore", "steps": []}' end;
comment on function plan_event(provider_events) is 'What applying an event would do now; reads only.';
