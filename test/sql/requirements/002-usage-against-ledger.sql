-- Requirement 002, "verify site_usage_monthly matches COUNT(ingest_idempotency)".
-- Compare site_usage_monthly.event_count vs COUNT(ingest_idempotency) per (site_id, year_month)
SELECT
  u.site_id,
  u.year_month,
  u.event_count AS usage_event_count,
  u.last_synced_at,
  (SELECT COUNT(*) FROM public.ingest_idempotency i
   WHERE i.site_id = u.site_id AND i.year_month = u.year_month AND i.billable = true) AS pg_billable_count
FROM public.site_usage_monthly u
WHERE u.year_month >= to_char(NOW() - INTERVAL '2 months', 'YYYY-MM')
ORDER BY u.site_id, u.year_month;
-- usage_event_count should equal pg_billable_count for reconciled rows (last_synced_at recent).
