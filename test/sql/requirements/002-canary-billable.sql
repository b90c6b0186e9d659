-- Requirement 002, "DB proof (canary site)", A.
-- (A) SoT: ingest_idempotency billable count
SELECT count(*) AS billable
FROM ingest_idempotency
WHERE site_id = '<CANARY_SITE_UUID>'
  AND year_month = '2026-02'
  AND billable = true;
