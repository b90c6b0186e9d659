-- Requirement 002, "DB-level smoke", 3.
-- Bu UPDATE 0 row etkilemeli veya RLS ile reddedilmeli (authenticated'ın UPDATE yetkisi yok).
UPDATE public.ingest_idempotency SET billable = false WHERE site_id = '...';
-- Beklenen: permission denied veya 0 rows updated (RLS + no UPDATE grant).
