-- Requirement 002, "DB-level smoke", 2, third statement.
DELETE FROM public.invoice_snapshot WHERE year_month = '2025-01';
