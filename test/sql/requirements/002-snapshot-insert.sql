-- Requirement 002, "DB-level smoke", 2, first statement.
-- Önce bir satır ekle (service_role)
INSERT INTO public.invoice_snapshot (site_id, year_month, event_count, overage_count, snapshot_hash)
SELECT id, '2025-01', 0, 0, 'test' FROM public.sites LIMIT 1
ON CONFLICT (site_id, year_month) DO NOTHING;
