-- Requirement 002, "DB proof (canary site)", B.
-- (B) Reconciled: site_usage_monthly snapshot
SELECT event_count, overage_count, last_synced_at
FROM site_usage_monthly
WHERE site_id = '<CANARY_SITE_UUID>'
  AND year_month = '2026-02';
