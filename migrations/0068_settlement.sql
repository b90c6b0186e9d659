-- Usage ends in money: where a plan says so, the overage of a frozen invoice is charged to the site's wallet, as one transfer.

alter table site_plans
  add column settle_currency text references currencies,
  add column settle_from text check (settle_from ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  add constraint site_plans_settle check ((settle_currency is null) = (settle_from is null));

comment on column site_plans.settle_currency is 'Charges the overage of frozen invoices, from the month settle_from on, to the site''s wallet of this currency at overage_price_per_1k; null: not.';

create table invoice_settlements (
  site_id       uuid not null,
  settled_at    timestamptz not null default clock_timestamp(),
  transfer_id   uuid,
  overage_count bigint not null,
  amount        bigint not null check (amount >= 0),
  price_per_1k  numeric(20, 6) not null,
  year_month    text not null,
  currency      text not null references currencies,
  snapshot_hash text not null,
  primary key (site_id, year_month)
);
comment on table invoice_settlements is 'Frozen invoices that were charged: once each, with the hash of what was charged. transfer_id null: it came to nothing. Append-only.';

create trigger invoice_settlements_append_only before update or delete or truncate on invoice_settlements for each statement execute function append_only();

create function set_settlement(p_ref text, p_currency text, p_price numeric, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  insert into site_plans (site_id, plan_tier, monthly_limit, soft_limit_enabled, hard_cap_multiplier)
  select site, 'default', d.monthly_limit, d.soft_limit_enabled, d.hard_cap_multiplier from default_plan() d on conflict (site_id) do nothing;
  update site_plans p set overage_price_per_1k = coalesce(p_price, p.overage_price_per_1k), settle_currency = p_currency,
         settle_from = case when p_currency is null then null else coalesce(p.settle_from, utc_year_month(clock_timestamp())) end where p.site_id = site;
  if p_currency is not null and (select p.overage_price_per_1k is null from site_plans p where p.site_id = site) then
    raise exception 'A settlement needs a price.' using errcode = 'RK015';
  end if;
  perform audit(p_actor, 'plan_settlement', 'plan', site::text, site, jsonb_build_object('currency', p_currency, 'price_per_1k', p_price::text));
  return read_settlement(p_ref);
end $$;
comment on function set_settlement(text, text, numeric, text) is
  'Has the overage of a site''s invoices charged to its wallet, from this month''s invoice on; p_currency null: not any more. p_price null: as it is. Audited as plan_settlement. Raises RK003, RK015, 23503, 23514.';

create function read_settlement(p_ref text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  return jsonb_build_object('site_id', site, 'currency', (select p.settle_currency from site_plans p where p.site_id = site), 'from', (select p.settle_from from site_plans p where p.site_id = site),
    'overage_price_per_1k', (select p.overage_price_per_1k::text from site_plans p where p.site_id = site),
    'balances', (select coalesce(jsonb_object_agg(a.currency, a.balance::text), '{}') from accounts a where a.owner_id = site and a.tenant_id = 'sites' and a.kind = 'available'),
    'settled', (select coalesce(jsonb_agg(x.item order by x.year_month desc), '[]') from (
      select s.year_month, jsonb_build_object('year_month', s.year_month, 'amount_minor', s.amount::text, 'currency', s.currency, 'overage_count', s.overage_count::text, 'price_per_1k', s.price_per_1k::text,
             'snapshot_hash', s.snapshot_hash, 'transfer_id', s.transfer_id, 'settled_at', utc_text(s.settled_at)) item
        from invoice_settlements s where s.site_id = site order by s.year_month desc limit 24) x));
end $$;
comment on function read_settlement(text) is 'How a site''s overage is charged, its wallet''s balances in minor units, and the last two years of what was charged. Raises RK003.';

create function settle_invoice(i invoice_snapshot, p site_plans) returns void
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  due    bigint;
  answer jsonb;
begin
  select round(i.overage_count::numeric * p.overage_price_per_1k * 10::numeric ^ c.exponent / 1000)::bigint into due from currencies c where c.code = p.settle_currency;
  if due > 0 then
    perform open_wallet('sites', i.site_id, p.settle_currency);
    answer := debit_wallet('sites', 'invoice', 'overage:' || i.site_id || ':' || i.year_month, jsonb_build_object('owner_id', i.site_id, 'currency', p.settle_currency, 'amount_minor', due::text,
      'kind', 'usage_overage', 'account_id', account_id('sites', null, p.settle_currency, 'revenue'), 'reference', i.site_id || ' ' || i.year_month, 'actor', 'system:settlement', 'overdraw', true,
      'metadata', jsonb_build_object('overage_count', i.overage_count::text, 'price_per_1k', p.overage_price_per_1k::text, 'snapshot_hash', i.snapshot_hash)));
    if answer ->> 'outcome' <> 'done' then raise exception '%', coalesce(answer ->> 'sentence', 'The invoice could not be charged.') using errcode = 'RK061'; end if;
  end if;
  insert into invoice_settlements (site_id, year_month, currency, amount, overage_count, price_per_1k, snapshot_hash, transfer_id)
  values (i.site_id, i.year_month, p.settle_currency, due, i.overage_count, p.overage_price_per_1k, i.snapshot_hash, (answer -> 'transfer_ids' ->> 0)::uuid);
  perform audit('system:settlement', 'invoice_settled', 'invoice', i.site_id || ':' || i.year_month, i.site_id, jsonb_build_object('amount_minor', due::text, 'currency', p.settle_currency));
end $$;
comment on function settle_invoice(invoice_snapshot, site_plans) is 'Charges one frozen invoice''s overage, rounded to the nearest minor unit; the site''s wallet may go below zero. Raises RK061.';

create function settle_invoices() returns integer
language plpgsql volatile security definer set search_path = pg_catalog, public set lock_timeout = '3s' as $$
declare
  due    record;
  done   integer := 0;
  cause  text;
  failed text;
begin
  for due in select i, p from invoice_snapshot i join site_plans p on p.site_id = i.site_id
     where p.settle_currency is not null and i.year_month >= p.settle_from and i.hash_version > 0
       and not exists (select from invoice_settlements s where s.site_id = i.site_id and s.year_month = i.year_month)
     order by i.site_id, i.year_month limit 100 for no key update of p skip locked loop
    continue when exists (select from invoice_settlements s where s.site_id = (due.i).site_id and s.year_month = (due.i).year_month); -- another sweep had it meanwhile
    begin
      perform settle_invoice(due.i, due.p);
      done := done + 1;
    exception when others then -- one that cannot be charged holds back no other
      get stacked diagnostics cause = message_text;
      failed := (due.i).site_id || ' ' || (due.i).year_month || ': ' || cause;
    end;
  end loop;
  if done = 0 and failed is not null then raise exception 'The overage of % could not be charged: %', split_part(failed, ': ', 1), cause using errcode = 'RK061'; end if;
  return done;
end $$;
comment on function settle_invoices() is 'Charges the overage of up to 100 frozen invoices that are to be charged and were not, and says how many; one that cannot be charged holds back no other, and is told when nothing else is left. Repeatable. Raises RK061.';

create function read_export(p_user uuid, p_platform_admin boolean, p_ref text, p_month text, p_id text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site  uuid := require_capability(p_user, p_platform_admin, p_ref, 'billing:view');
  found_ jsonb := read_dispute_export(site, p_month, p_id::bigint);
begin
  return found_ || jsonb_build_object('snapshot_hash', (select i.snapshot_hash from invoice_snapshot i where i.site_id = site and i.year_month = p_month));
end $$;
comment on function read_export(uuid, boolean, text, text, text) is 'A long export that somebody waits for, without counting its month again. Raises RK014, RK017.';

select secure_table('invoice_settlements', false);

grant execute on function settle_invoices() to kernel_jobs;

grant execute on function set_settlement(text, text, numeric, text), read_settlement(text), read_export(uuid, boolean, text, text, text) to kernel_api;
