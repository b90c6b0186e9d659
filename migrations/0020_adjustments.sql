-- A correction of a frozen invoice is proposed by one person and approved by another.

create table adjustment_proposals (
  id             uuid primary key default gen_random_uuid(),
  created_at     timestamptz not null default clock_timestamp(),
  decided_at     timestamptz,
  site_id        uuid not null,
  corrects_month text not null check (corrects_month ~ '^\d{4}-(0[1-9]|1[0-2])$'),
  event_delta    bigint not null,
  overage_delta  bigint not null default 0,
  reason         text not null check (length(btrim(reason)) between 1 and 2000),
  author         text not null,
  decided_by     text,
  decision       text check (decision in ('approved', 'rejected')),
  check (event_delta <> 0 or overage_delta <> 0),
  check ((decision is null) = (decided_by is null) and (decision is null) = (decided_at is null))
);
create index adjustment_proposals_by_site on adjustment_proposals (site_id, created_at);
comment on table adjustment_proposals is 'Corrections that wait for a second person, or were decided by one; an approved one is booked in invoice_adjustments in the commit of its approval.';

create function proposal_row(p adjustment_proposals) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', p.id, 'site_id', p.site_id, 'corrects_month', p.corrects_month, 'event_delta', p.event_delta::text,
    'overage_delta', p.overage_delta::text, 'reason', p.reason, 'author', p.author, 'created_at', utc_text(p.created_at),
    'decision', p.decision, 'decided_by', p.decided_by, 'decided_at', utc_text(p.decided_at))
$$;
comment on function proposal_row(adjustment_proposals) is 'A proposal as answers show it; counts as decimal strings.';

create function propose_adjustment(p_ref text, p_adjustment jsonb, p_author text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
  p    adjustment_proposals;
begin
  if not exists (select from invoice_snapshot i where i.site_id = site and i.year_month = p_adjustment ->> 'corrects_month') then
    raise exception 'The month % of this site is not frozen: its ledger is still open.', p_adjustment ->> 'corrects_month' using errcode = 'RK013';
  end if;
  insert into adjustment_proposals (site_id, corrects_month, event_delta, overage_delta, reason, author)
  values (site, p_adjustment ->> 'corrects_month', (p_adjustment ->> 'event_delta')::bigint, coalesce((p_adjustment ->> 'overage_delta')::bigint, 0),
          p_adjustment ->> 'reason', p_author) returning * into p;
  perform audit(p_author, 'invoice_adjust_propose', 'invoice', site || ':' || p.corrects_month, site, proposal_row(p));
  return proposal_row(p);
end $$;
comment on function propose_adjustment(text, jsonb, text) is
  'Proposes {corrects_month, event_delta, overage_delta?, reason} for a frozen month. Audited. Raises RK003, RK013, 23514.';

create function decide_adjustment(p_ref text, p_id uuid, p_approve boolean, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
  p    adjustment_proposals;
begin
  select * into p from adjustment_proposals x where x.id = p_id and x.site_id = site for update;
  if not found then
    raise exception 'The site has no such proposal.' using errcode = 'RK018';
  end if;
  if p.decision is not null then
    if p.decision = (case when p_approve then 'approved' else 'rejected' end) and p.decided_by = p_actor then return proposal_row(p); end if;
    raise exception 'The proposal was % already.', p.decision using errcode = 'RK019';
  end if;
  if p_approve and p.author = p_actor then
    raise exception 'A proposal is approved by somebody other than its author.' using errcode = 'RK020';
  end if;
  update adjustment_proposals set decision = case when p_approve then 'approved' else 'rejected' end, decided_by = p_actor, decided_at = clock_timestamp()
   where id = p_id returning * into p;
  if p_approve then
    perform adjust_invoice(site::text, proposal_row(p) || jsonb_build_object('key', p.id::text), p.author, p_actor);
  else
    perform audit(p_actor, 'invoice_adjust_reject', 'invoice', site || ':' || p.corrects_month, site, proposal_row(p));
  end if;
  return proposal_row(p);
end $$;
comment on function decide_adjustment(text, uuid, boolean, text) is
  'Approves (and books) or rejects a proposal, once; repeating one''s own decision changes nothing. Raises RK018 (unknown), RK019 (decided), RK020 (author approves).';

create function list_adjustments(p_ref text) returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_site(p_ref);
begin
  return query select proposal_row(p) from adjustment_proposals p where p.site_id = site order by p.created_at desc limit 200;
end $$;
comment on function list_adjustments(text) is 'The newest 200 proposals of the site, decided ones too. Raises RK003.';

select secure_table('adjustment_proposals', true);

grant execute on function propose_adjustment(text, jsonb, text), decide_adjustment(text, uuid, boolean, text), list_adjustments(text) to kernel_api;
