-- A person asks for an open month to be reconciled again, also when its job was given up; the schedule's next run takes it up.

create function request_reconciliation(p_user uuid, p_platform_admin boolean, p_ref text, p_month text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, public as $$
declare
  site uuid := require_capability(p_user, p_platform_admin, p_ref, 'queue:operate');
  queued bigint;
  job jsonb;
begin
  if exists (select from invoice_snapshot i where i.site_id = site and i.year_month = p_month) then
    raise exception 'The month % of this site is frozen: its seal is checked instead.', p_month using errcode = 'RK010';
  end if;
  select q.enqueued into queued from enqueue_reconciliation(p_month, p_month, site, true) q;
  if queued > 0 then
    perform audit(p_user::text, 'reconciliation_requested', 'site', site::text, site, jsonb_build_object('year_month', p_month));
  end if;
  select jsonb_build_object('status', j.status, 'next_attempt_at', utc_text(j.next_attempt_at)) into job
    from billing_reconciliation_jobs j where j.site_id = site and j.year_month = p_month;
  return jsonb_build_object('queued', queued > 0, 'job', job);
end $$;
comment on function request_reconciliation(uuid, boolean, text, text) is
  'Queues an open month of a site for reconciliation at once, as a user who holds queue:operate: one that was completed, failed or dead begins anew. A job at work or already queued stays as it is; a month without usage has none. Audited. Raises RK010, RK014.';

grant execute on function request_reconciliation(uuid, boolean, text, text) to kernel_api;
