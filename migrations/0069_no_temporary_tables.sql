-- Nobody makes temporary tables: one named like a table of ours would be found before it, also by functions that run with their
-- owner's rights.

do $$
begin
  execute format('revoke temporary on database %I from public', current_database());
end $$;
