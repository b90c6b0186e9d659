-- What was decided about one event, for those who may see its site. Reading functions run with the rights of their caller
-- and set who is signed in themselves, for each call of the Data API is a transaction of its own.

create function sign_in(p_user uuid, p_platform_admin boolean) returns text
language plpgsql volatile set search_path = pg_catalog, public as $$
begin
  perform set_config('app.user_id', coalesce(p_user::text, ''), true);
  return set_config('app.platform_admin', case when p_platform_admin then 'true' else 'false' end, true);
end $$;
comment on function sign_in(uuid, boolean) is 'Says for the rest of the transaction whose verified token the caller holds; row-level security shows that user''s sites.';

create function read_receipt(p_user uuid, p_platform_admin boolean, p_ref text, p_ingest_id uuid) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public as $$
declare
  site    uuid;
  receipt jsonb;
begin
  perform sign_in(p_user, p_platform_admin);
  select s.id into site from sites s where s.id = find_site(p_ref); -- found, but shown by policy only
  if site is null then
    raise exception 'The site is unknown or closed.' using errcode = 'RK003';
  end if;
  select jsonb_build_object(
    'ingest_id', p_ingest_id, 'site_id', l.site_id,
    'ledger', jsonb_build_object('id', l.id::text, 'idempotency_key', ingest_key_text(l.idempotency_key), 'idempotency_version', l.idempotency_version,
      'billable', l.billable, 'billing_state', l.billing_state, 'billing_reason', l.billing_reason, 'year_month', l.year_month,
      'created_at', utc_text(l.created_at), 'expires_at', utc_text(l.expires_at), 'payload_hash', encode(l.payload_hash, 'hex')),
    'delivery', coalesce(
      (select jsonb_build_object('status', 'delivered', 'delivered_at', utc_text(e.delivered_at), 'request_id', e.request_id, 'payload', e.payload)
         from events e where e.id = l.id),
      (select jsonb_build_object('status', case o.status when 'FAILED' then 'failed' else 'waiting' end, 'attempts', o.attempts,
                'next_attempt_at', utc_text(o.next_attempt_at), 'reason', o.error_reason, 'request_id', o.request_id, 'payload', o.payload)
         from ingest_fallback_buffer o where o.id = l.id),
      jsonb_build_object('status', 'removed')),
    'rejections', (select coalesce(jsonb_agg(jsonb_build_object('year_month', r.year_month, 'created_at', utc_text(r.created_at)) order by r.id), '[]')
      from ingest_idempotency r where r.site_id = site and r.idempotency_key = l.idempotency_key and r.billing_state = 'REJECTED_QUOTA'),
    'conflicts', (select coalesce(jsonb_agg(jsonb_build_object('seen_at', utc_text(c.seen_at), 'payload_hash', encode(c.other_hash, 'hex'),
                                                               'request_id', c.request_id) order by c.seen_at), '[]')
      from ingest_conflicts c where c.site_id = site and c.idempotency_key = l.idempotency_key),
    'invoice', (select jsonb_build_object('frozen_at', utc_text(i.generated_at), 'snapshot_hash', i.snapshot_hash)
      from invoice_snapshot i where i.site_id = site and i.year_month = l.year_month))
    into receipt
    from ingest_idempotency l
   where l.site_id = site and l.id = ingest_uuid_id(p_ingest_id) and ingest_uuid(l.id, l.created_at) = p_ingest_id
     and l.billing_state <> 'REJECTED_QUOTA';
  if receipt is null then
    raise exception 'The site has no event with this ingest_id.' using errcode = 'RK007';
  end if;
  return receipt;
end $$;
comment on function read_receipt(uuid, boolean, text, uuid) is
  'Every decision taken on an admitted event: ledger row, delivery, earlier rejections and conflicts of its key, the invoice that froze it. Shows own sites only. Raises RK003 (site unknown or not yours), RK007 (no such event).';

grant execute on function sign_in(uuid, boolean), read_receipt(uuid, boolean, text, uuid) to kernel_api;
