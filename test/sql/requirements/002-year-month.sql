-- Requirement 002, "DB-level smoke", 1.
SELECT DISTINCT year_month FROM public.ingest_idempotency LIMIT 12;
-- Tüm değerler '2025-01', '2025-02', ... gibi olmalı (regex: ^\d{4}-\d{2}$)
