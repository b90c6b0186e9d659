-- Requirement 002, "DB-level smoke", 2, second statement.
-- Aşağıdakiler FAIL etmeli (immutable):
UPDATE public.invoice_snapshot SET event_count = 1 WHERE year_month = '2025-01';
