-- Requirement 002, "Job tablosu".
SELECT site_id, year_month, status, attempt_count, last_error, last_drift_pct, updated_at
FROM billing_reconciliation_jobs
WHERE site_id = '<CANARY_SITE_UUID>'
ORDER BY updated_at DESC
LIMIT 20;
