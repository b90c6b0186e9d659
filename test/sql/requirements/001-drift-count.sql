-- Requirement 001, "Rollback steps", 3.
SELECT COUNT(*) FROM ingest_idempotency WHERE billable=true;
