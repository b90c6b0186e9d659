-- Requirement 002, "DB-level smoke", 4.
-- Find recent idempotency rows for a site that hit quota (e.g. by created_at and site_id).
-- Those that were rejected by quota (same time window as 429 response) should have billable = false.
SELECT site_id, idempotency_key, created_at, billable, billing_state
FROM public.ingest_idempotency
WHERE site_id = 'YOUR_SITE_UUID'
  AND created_at >= NOW() - INTERVAL '5 minutes'
ORDER BY created_at DESC
LIMIT 20;
