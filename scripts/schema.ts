// The schema as the catalogue has it, in a stable order: what migrations/schema.sql holds and reviewers read.
import type pg from 'pg';

/** Each query gives one column of text, sorted; together they say all that a reader of the schema asks. */
const parts: [title: string, sql: string][] = [
  [
    'Types',
    `select format('create type %I as enum (%s);', t.typname, string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder))
       from pg_type t join pg_enum e on e.enumtypid = t.oid where t.typnamespace = 'public'::regnamespace group by t.typname order by 1`,
  ],
  [
    'Sequences',
    `select format('create sequence %I as %s cache %s;', sequencename, data_type, cache_size)
       from pg_sequences where schemaname = 'public' and sequencename not in (
         select c.relname from pg_class c join pg_depend d on d.objid = c.oid and d.deptype = 'i' where c.relkind = 'S') order by 1`,
  ],
  [
    'Tables',
    `select format(E'create table %I (\\n%s\\n)%s%s;', c.relname,
         (select string_agg(line, E',\\n' order by kind, position, line) from (
            select 0 kind, a.attnum position, format('  %I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                case when a.attnotnull then ' not null' else '' end,
                case when a.attidentity <> '' then ' generated always as identity'
                     when a.attgenerated = 's' then format(' generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid))
                     when d.adbin is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end) line
              from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            union all
            select 1, 0, format('  constraint %I %s', k.conname, pg_get_constraintdef(k.oid)) from pg_constraint k
             where k.conrelid = c.oid and k.contype <> 'n') lines),
         case when c.relkind = 'p' then ' partition by ' || pg_get_partkeydef(c.oid) else '' end,
         case when c.reloptions is not null then ' with (' || array_to_string(c.reloptions, ', ') || ')' else '' end)
       from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by c.relname`,
  ],
  [
    'Partitions',
    `select format('create table %I partition of %s %s;', c.relname, i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid))
       from pg_class c join pg_inherits i on i.inhrelid = c.oid
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname`,
  ],
  [
    'Views',
    `select format(E'create view %I%s as\\n%s', c.relname,
        case when c.reloptions is not null then ' with (' || array_to_string(c.reloptions, ', ') || ')' else '' end, pg_get_viewdef(c.oid))
       from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'v' order by c.relname`,
  ],
  [
    'Indexes',
    `select pg_get_indexdef(x.indexrelid) || ';' from pg_index x join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
      where c.relnamespace = 'public'::regnamespace and not c.relispartition
        and not exists (select from pg_constraint k where k.conindid = x.indexrelid) order by i.relname`,
  ],
  [
    'Functions',
    `select pg_get_functiondef(p.oid) || ';' from pg_proc p where p.pronamespace = 'public'::regnamespace order by p.oid::regprocedure::text`,
  ],
  [
    'Triggers',
    `select pg_get_triggerdef(t.oid) || ';' from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = 'public'::regnamespace and not t.tgisinternal order by c.relname, t.tgname`,
  ],
  [
    'Row-level security',
    `select format('alter table %I %s row level security, %s row level security;', c.relname,
        case when c.relrowsecurity then 'enable' else 'disable' end, case when c.relforcerowsecurity then 'force' else 'no force' end)
       from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by c.relname`,
  ],
  [
    'Policies',
    `select format('create policy %I on %I for %s to %s%s%s;', policyname, tablename, lower(cmd), array_to_string(roles, ', '),
        coalesce(' using (' || qual || ')', ''), coalesce(' with check (' || with_check || ')', ''))
       from pg_policies where schemaname = 'public' order by tablename, policyname`,
  ],
  [
    'Grants on tables',
    `select format('grant %s on %I to %s;', string_agg(lower(a.privilege_type), ', ' order by a.privilege_type), c.relname,
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
       from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'S') and a.grantee <> c.relowner
      group by c.relname, a.grantee order by 1`,
  ],
  [
    'Grants on functions',
    `select format('grant execute on function %s to %s;', p.oid::regprocedure, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
       from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      where p.pronamespace = 'public'::regnamespace and a.grantee <> p.proowner order by 1`,
  ],
  [
    'Comments',
    `select format('comment on %s %s is %L;', kind, name, text) from (
        select 'table' kind, c.oid::regclass::text name, obj_description(c.oid, 'pg_class') text from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        union all select 'view', c.oid::regclass::text, obj_description(c.oid, 'pg_class') from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
        union all select 'function', p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc') from pg_proc p
         where p.pronamespace = 'public'::regnamespace) x where text is not null order by kind desc, name`,
  ],
];

/** Reads the whole schema `public` as one text. */
export async function schemaText(client: pg.Client): Promise<string> {
  const chapters: string[] = [];
  for (const [title, sql] of parts) {
    const { rows } = await client.query<[string]>({ text: sql, rowMode: 'array' });
    if (rows.length > 0) chapters.push(`-- ${title}\n\n${rows.map(([line]) => line.trimEnd()).join('\n\n')}`);
  }
  return `-- The schema after all migrations, generated by "npm run schema"; read it, never edit or run it.\n\n${chapters.join('\n\n')}\n`;
}
