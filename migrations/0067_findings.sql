-- Payments, seventh part: findings and what people do with them: take them on, resolve them with a reason, or post the transfer that
-- makes the two sides agree, which above a ceiling waits for a second person.

create table correction_ceilings (
  tenant_id text primary key,
  units     bigint not null check (units >= 0)
);
comment on table correction_ceilings is 'How much of a currency, in whole units, one person may correct alone; 100 where a tenant has no row.';

create table finding_corrections (
  id          uuid primary key,
  created_at  timestamptz not null default clock_timestamp(),
  decided_at  timestamptz,
  finding_id  uuid not null references reconciliation_findings,
  player_id   uuid not null,
  delta       bigint not null check (delta <> 0),
  tenant_id   text not null,
  currency    text not null references currencies,
  state       text not null check (state in ('proposed', 'posted', 'rejected')),
  reason      text not null,
  proposed_by text not null,
  decided_by  text,
  decision    text,
  transfer_id uuid
);
create unique index finding_corrections_open on finding_corrections (finding_id) where state = 'proposed';
comment on table finding_corrections is 'Correcting transfers of findings. proposed: above the ceiling, and waits for somebody else.';

create trigger finding_corrections_fixed before update of id, created_at, finding_id, player_id, delta, tenant_id, currency, reason, proposed_by on finding_corrections
  for each statement execute function append_only();

create trigger finding_corrections_no_delete before delete or truncate on finding_corrections for each statement execute function append_only();

create function finding_row(f reconciliation_findings) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', f.id, 'provider', f.provider, 'tenant_id', f.tenant_id, 'player_id', f.player_id, 'tx_id', f.tx_id, 'provider_event_id', f.provider_event_id, 'provider_ref', f.provider_ref,
    'finding_type', f.finding_type, 'severity', f.severity, 'status', f.status, 'message', f.message, 'owner', f.owner, 'reopened_count', f.reopened_count, 'run_id', f.run_id,
    'resolution', f.resolution, 'accepted', f.accepted, 'resolved_by', f.resolved_by, 'resolved_at', utc_text(f.resolved_at), 'seen_at', utc_text(f.seen_at), 'created_at', utc_text(f.created_at),
    'updated_at', utc_text(f.updated_at), 'age_s', case f.status when 'OPEN' then floor(extract(epoch from clock_timestamp() - f.created_at))::bigint end)
$$;
comment on function finding_row(reconciliation_findings) is 'A finding as lists show it.';

create function list_findings(p_tenant text, p_filter jsonb, p_limit integer, p_offset integer) returns jsonb
language sql stable security definer set search_path = pg_catalog, public set plan_cache_mode = force_custom_plan as $$
  with wanted as (
    select f from reconciliation_findings f
     where (p_tenant is null or f.tenant_id = p_tenant) and (p_filter ->> 'tenant_id' is null or f.tenant_id = p_filter ->> 'tenant_id')
       and (p_filter ->> 'provider' is null or f.provider = p_filter ->> 'provider') and (p_filter ->> 'status' is null or f.status = p_filter ->> 'status')
       and (p_filter ->> 'finding_type' is null or f.finding_type = p_filter ->> 'finding_type') and (p_filter ->> 'severity' is null or f.severity = p_filter ->> 'severity')
       and (p_filter ->> 'player_id' is null or f.player_id = (p_filter ->> 'player_id')::uuid) and (p_filter ->> 'tx_id' is null or f.tx_id = (p_filter ->> 'tx_id')::uuid)
       and (p_filter ->> 'provider_event_id' is null or f.provider_event_id = p_filter ->> 'provider_event_id') and (p_filter ->> 'owner' is null or f.owner = p_filter ->> 'owner')
  )
  select jsonb_build_object('items', (select coalesce(jsonb_agg(w.shown order by w.created_at desc, w.id desc), '[]')
      from (select (x.f).created_at, (x.f).id, finding_row(x.f) shown from wanted x order by (x.f).created_at desc, (x.f).id desc limit least(p_limit, 200) offset p_offset) w), 'total', (select count(*) from wanted))
$$;
comment on function list_findings(text, jsonb, integer, integer) is 'Findings, newest first: {provider?, status?, tenant_id?, finding_type?, severity?, player_id?, tx_id?, provider_event_id?, owner?}; p_tenant null: of all tenants and of none.';

create function correction_row(c finding_corrections) returns jsonb
language sql stable set search_path = pg_catalog, public as $$
  select jsonb_build_object('id', c.id, 'finding_id', c.finding_id, 'tenant_id', c.tenant_id, 'player_id', c.player_id, 'delta_minor', c.delta::text, 'currency', c.currency, 'state', c.state, 'reason', c.reason,
    'proposed_by', c.proposed_by, 'decided_by', c.decided_by, 'decided_at', utc_text(c.decided_at), 'decision', c.decision, 'transfer_id', c.transfer_id, 'created_at', utc_text(c.created_at))
$$;
comment on function correction_row(finding_corrections) is 'A correction as answers show it.';

create function read_finding(p_tenant text, p_finding uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, public as $$
  select finding_row(f) || jsonb_build_object('raw', f.raw, 'corrections', (select coalesce(jsonb_agg(correction_row(c) order by c.created_at), '[]') from finding_corrections c where c.finding_id = f.id))
    from reconciliation_findings f where f.id = p_finding and (p_tenant is null or f.tenant_id = p_tenant)
$$;
comment on function read_finding(text, uuid) is 'A finding with both sides and its corrections; null when there is none, or it is another tenant''s.';

create function close_finding(p_finding uuid, p_actor text, p_resolution text, p_accepted boolean) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  f reconciliation_findings;
begin
  update reconciliation_findings x set status = 'RESOLVED', resolution = p_resolution, accepted = p_accepted, resolved_by = p_actor, resolved_at = clock_timestamp(), updated_at = clock_timestamp()
   where x.id = p_finding returning * into f;
  perform audit(p_actor, 'FIN_FINDING_RESOLVED', 'finding', f.id::text, null, jsonb_build_object('finding_type', f.finding_type, 'reason', p_resolution, 'accepted', p_accepted));
  return finding_row(f);
end $$;
comment on function close_finding(uuid, text, text, boolean) is 'Resolves a finding, audited as FIN_FINDING_RESOLVED.';

create function find_finding(p_tenant text, p_finding uuid) returns reconciliation_findings
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  f reconciliation_findings;
begin
  select * into f from reconciliation_findings x where x.id = p_finding for no key update;
  if f.id is null then raise exception 'There is no such finding.' using errcode = 'RK060'; end if;
  if p_tenant is not null and f.tenant_id is distinct from p_tenant then raise exception 'The finding belongs to another tenant.' using errcode = 'RK014'; end if;
  return f;
end $$;
comment on function find_finding(text, uuid) is 'A finding, locked, that the caller may work on; p_tenant null: any. Raises RK060, RK014 (another tenant''s).';

create function resolve_finding(p_tenant text, p_actor text, p_finding uuid, p_reason text, p_accepted boolean) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  f reconciliation_findings := find_finding(p_tenant, p_finding);
begin
  if btrim(coalesce(p_reason, '')) = '' then return declined('REASON_REQUIRED'); end if;
  if f.status = 'RESOLVED' then return jsonb_build_object('outcome', 'done', 'changed', false, 'finding', finding_row(f)); end if;
  if exists (select from finding_corrections c where c.finding_id = f.id and c.state = 'proposed') then
    return declined('CORRECTION_PENDING', '{"sentence": "A correction of this finding waits for a decision."}');
  end if;
  return jsonb_build_object('outcome', 'done', 'changed', true, 'finding', close_finding(f.id, p_actor, p_reason, p_accepted));
end $$;
comment on function resolve_finding(text, text, uuid, text, boolean) is 'Resolves a finding with a reason; accepted: the difference is known and stays, and is not found again as long as it says the same. Repeatable. Raises RK060, RK014.';

create function own_finding(p_tenant text, p_actor text, p_finding uuid, p_owner text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  f reconciliation_findings := find_finding(p_tenant, p_finding);
begin
  update reconciliation_findings x set owner = p_owner, updated_at = clock_timestamp() where x.id = f.id returning * into f;
  perform audit(p_actor, 'FIN_FINDING_OWNER', 'finding', f.id::text, null, jsonb_build_object('owner', p_owner));
  return jsonb_build_object('outcome', 'done', 'finding', finding_row(f));
end $$;
comment on function own_finding(text, text, uuid, text) is 'Says who works on a finding; null: nobody. Raises RK060, RK014.';

create function post_correction(c finding_corrections, p_actor text) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  body   jsonb := jsonb_build_object('owner_id', c.player_id, 'currency', c.currency, 'amount_minor', abs(c.delta)::text, 'kind', 'correction', 'reference', c.finding_id, 'reason', c.reason, 'actor', p_actor,
    'overdraw', c.delta < 0 and flag_on('allow_negative_balance', c.tenant_id, c.player_id::text));
  answer jsonb;
begin
  perform from legacy_balances l where l.tenant_id = c.tenant_id and l.player_id = c.player_id and l.currency = c.currency for no key update;
  answer := case when c.delta > 0 then credit_wallet(c.tenant_id, 'finding', 'correction:' || c.id, body) else debit_wallet(c.tenant_id, 'finding', 'correction:' || c.id, body) end;
  if answer ->> 'outcome' <> 'done' then return answer; end if;
  perform move_legacy(c.tenant_id, c.player_id, c.currency, c.delta, 0);
  update finding_corrections x set state = 'posted', decided_by = p_actor, decided_at = clock_timestamp(), transfer_id = (answer -> 'transfer_ids' ->> 0)::uuid where x.id = c.id returning * into c;
  perform audit(p_actor, 'FIN_CORRECTION_POSTED', 'finding', c.finding_id::text, null, correction_row(c));
  return jsonb_build_object('outcome', 'done', 'correction', correction_row(c), 'finding', close_finding(c.finding_id, p_actor, 'A correcting transfer was posted: ' || c.reason, true));
end $$;
comment on function post_correction(finding_corrections, text) is 'Posts a correction between the wallet and the clearing account, and resolves its finding.';

create function correct_finding(p_tenant text, p_actor text, p_key text, p_finding uuid, p_body jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  scope   text := 'finding:' || p_actor;
  f       reconciliation_findings;
  call    record;
  c       finding_corrections;
  answer  jsonb;
  ceiling numeric;
begin
  f := find_finding(p_tenant, p_finding);
  call := begin_call(coalesce(f.tenant_id, 'unassigned'), scope, p_key, 'correct', p_body || jsonb_build_object('finding_id', p_finding));
  if call.answer is not null then return call.answer; end if;
  select coalesce((select l.units from correction_ceilings l where l.tenant_id = f.tenant_id), 100) * 10::numeric ^ x.exponent into ceiling from currencies x where x.code = p_body ->> 'currency';
  answer := case when btrim(coalesce(p_body ->> 'reason', '')) = '' then declined('REASON_REQUIRED') when ceiling is null then declined('CURRENCY_UNKNOWN')
    when f.status = 'RESOLVED' then declined('FINDING_RESOLVED', '{"sentence": "The finding is resolved already."}')
    when f.player_id is null then declined('PLAYER_NOT_FOUND') when f.player_id::text = p_actor then declined('FOUR_EYES')
    when not exists (select from players p where p.id = f.player_id and p.tenant_id = f.tenant_id) then declined('PLAYER_NOT_FOUND')
    when exists (select from finding_corrections x where x.finding_id = f.id and x.state = 'proposed') then declined('CORRECTION_PENDING', '{"sentence": "A correction of this finding waits for a decision."}') end;
  if answer is null then
    insert into finding_corrections (id, finding_id, player_id, delta, tenant_id, currency, state, reason, proposed_by)
    values (call.id, f.id, f.player_id, (p_body ->> 'delta_minor')::bigint, f.tenant_id, p_body ->> 'currency', 'proposed', p_body ->> 'reason', p_actor) returning * into c;
    answer := case when abs(c.delta) <= ceiling then post_correction(c, p_actor) else jsonb_build_object('outcome', 'done', 'correction', correction_row(c), 'finding', finding_row(f)) end;
    if answer ->> 'outcome' <> 'done' then
      update finding_corrections x set state = 'rejected', decided_by = p_actor, decided_at = clock_timestamp(), decision = answer ->> 'sentence' where x.id = c.id;
    elsif c.state = 'proposed' and answer -> 'correction' ->> 'state' = 'proposed' then
      perform audit(p_actor, 'FIN_CORRECTION_PROPOSED', 'finding', f.id::text, null, correction_row(c));
    end if;
  end if;
  return end_call(coalesce(f.tenant_id, 'unassigned'), scope, p_key, 'correct', call.id, call.hash, answer);
end $$;
comment on function correct_finding(text, text, text, uuid, jsonb) is
  'Corrects the wallet of a finding''s player: {delta_minor, currency, reason}. Up to the tenant''s ceiling it is posted and resolves the finding; above it waits for somebody else. Raises RK001, RK030, RK060, RK014, 22P02, 23514.';

create function decide_correction(p_tenant text, p_actor text, p_correction uuid, p_action text, p_reason text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public set jit = off set enable_seqscan = off set lock_timeout = '3s' as $$
declare
  c finding_corrections;
  f reconciliation_findings;
begin
  select * into c from finding_corrections x where x.id = p_correction;
  if c.id is null then return declined('CORRECTION_NOT_FOUND', '{"sentence": "There is no such correction."}'); end if;
  f := find_finding(p_tenant, c.finding_id); -- the finding's row is locked first by whoever works on it
  select * into c from finding_corrections x where x.id = p_correction for no key update;
  if p_action not in ('approve', 'reject') then return declined('INVALID_ACTION');
  elsif btrim(coalesce(p_reason, '')) = '' then return declined('REASON_REQUIRED');
  elsif p_actor in (c.proposed_by, c.player_id::text) then return declined('FOUR_EYES');
  elsif c.state <> 'proposed' then return declined('CORRECTION_DECIDED', '{"sentence": "The correction was decided already."}');
  elsif p_action = 'approve' and f.status = 'RESOLVED' then return declined('FINDING_RESOLVED', '{"sentence": "The two sides agree by now; the correction can only be rejected."}'); end if;
  if p_action = 'approve' then return post_correction(c, p_actor); end if;
  update finding_corrections x set state = 'rejected', decided_by = p_actor, decided_at = clock_timestamp(), decision = p_reason where x.id = c.id returning * into c;
  perform audit(p_actor, 'FIN_CORRECTION_REJECTED', 'finding', f.id::text, null, correction_row(c));
  return jsonb_build_object('outcome', 'done', 'correction', correction_row(c), 'finding', finding_row(f));
end $$;
comment on function decide_correction(text, text, uuid, text, text) is 'Somebody other than who proposed it posts or rejects a correction, with a reason. Raises RK060, RK014.';

create function set_correction_ceiling(p_tenant text, p_units bigint, p_actor text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
begin
  insert into correction_ceilings (tenant_id, units) values (p_tenant, p_units) on conflict (tenant_id) do update set units = excluded.units;
  perform audit(p_actor, 'correction_ceiling', 'tenant', p_tenant, null, jsonb_build_object('units', p_units::text));
  return jsonb_build_object('outcome', 'done', 'tenant_id', p_tenant, 'ceiling_units', p_units::text);
end $$;
comment on function set_correction_ceiling(text, bigint, text) is 'Sets how much one person of a tenant may correct alone, in whole units. Audited. Raises 23514.';

select secure_table('correction_ceilings', false), secure_table('finding_corrections', false);

grant execute on function list_findings(text, jsonb, integer, integer), read_finding(text, uuid), resolve_finding(text, text, uuid, text, boolean), own_finding(text, text, uuid, text),
  correct_finding(text, text, text, uuid, jsonb), decide_correction(text, text, uuid, text, text), set_correction_ceiling(text, bigint, text) to kernel_money;
