// Months of the past as their freeze left them: rows planted behind the guards, then frozen and sealed by the kernel's own functions.
import type pg from 'pg';

/** The UTC month so many months before this one, YYYY-MM. */
export function monthsAgo(count: number): string {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - count, 1)).toISOString().slice(0, 7);
}

/** Rows of the month, spread evenly over it; every fifth is overage and every seventh was rejected. */
export async function plantRows(
  superuser: pg.Client,
  site: string,
  month: string,
  rows: number,
): Promise<void> {
  await superuser.query(
    `insert into ingest_idempotency (site_id, created_at, expires_at, idempotency_version, idempotency_key, payload_hash, billing_state, billable)
     select $1::uuid, at, at + interval '91 days', 3, substr(sha256(convert_to($1::uuid || $2::text || n, 'UTF8')), 1, 16), sha256(convert_to(n::text, 'UTF8')),
            case when n % 7 = 0 then 'REJECTED_QUOTA' when n % 5 = 0 then 'OVERAGE' else 'ACCEPTED' end::billing_state, n % 7 <> 0
       from generate_series(1, $3::integer) n, lateral (select month_start($2) + n * (interval '27 days' / greatest($3::integer, 1)) as at) t`,
    [site, month, rows],
  );
}

/** The events of those rows that were admitted, with personal data. */
export async function plantEvents(superuser: pg.Client, site: string, month: string): Promise<void> {
  await superuser.query(
    `insert into events (id, site_id, received_at, payload, client_ip, user_agent)
     select l.id, l.site_id, l.created_at, '{"url": "https://example.com/"}', '192.0.2.7', 'agent'
       from ingest_idempotency l where l.site_id = $1 and l.year_month = $2 and l.billing_state <> 'REJECTED_QUOTA'`,
    [site, month],
  );
}

/** Freezes and seals the month, as if so many days ago. */
export async function freezeMonth(
  superuser: pg.Client,
  site: string,
  month: string,
  days_ago: number,
): Promise<void> {
  await superuser.query('select freeze_barrier($1, $2)', [site, month]);
  await superuser.query(`select freeze_invoice($1, $2, 'commit', 'test')`, [site, month]);
  await superuser.query('select seal_invoice($1, $2)', [site, month]);
  await behindGuards(superuser, () =>
    superuser.query(
      `update invoice_snapshot set generated_at = now() - make_interval(days => $3) where site_id = $1 and year_month = $2`,
      [site, month, days_ago],
    ),
  );
}

/** Runs statements with the triggers switched off, which only a superuser can do. */
export async function behindGuards<Result>(
  superuser: pg.Client,
  run: () => Promise<Result>,
): Promise<Result> {
  await superuser.query('set session_replication_role = replica');
  try {
    return await run();
  } finally {
    await superuser.query('set session_replication_role = origin');
  }
}
