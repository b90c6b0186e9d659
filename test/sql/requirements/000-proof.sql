-- Requirement 000, "Reconciliation Proof Query (DB)".
SELECT
  i.site_id,
  i.year_month,
  i.billable_count,
  u.event_count
FROM (
  SELECT site_id, year_month, count(*)::int AS billable_count
  FROM ingest_idempotency
  WHERE billable = true
  GROUP BY 1, 2
) i
LEFT JOIN site_usage_monthly u
  ON u.site_id = i.site_id AND u.year_month = i.year_month
ORDER BY i.billable_count DESC;
