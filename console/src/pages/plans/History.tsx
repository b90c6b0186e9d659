// What was changed at plans, by whom and why: the entries of the audit log that concern them, read together.
import { Link } from 'wouter';
import type { AuditEntry } from '../../api/client.ts';
import { type List, useRead } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/plans.ts';
import { changeWords } from './change-words.ts';

const entries_read = 50;

interface HistoryProps {
  /** By site id. */
  names: ReadonlyMap<string, string>;
  site?: string;
}

export function History({ names, site }: HistoryProps) {
  const list = useHistory(site);
  const columns: Column<AuditEntry>[] = [
    { id: 'when', header: t('when'), cell: ({ created_at }) => <When at={created_at} /> },
    ...(site === undefined ? [siteColumn(names)] : []),
    { id: 'change', header: t('change'), cell: (entry) => changeWords(entry, before(list.rows, entry)) },
    {
      ...{ id: 'reason', header: t('reason') },
      cell: ({ payload }) =>
        typeof payload.reason === 'string' ? payload.reason : <span className="muted">–</span>,
    },
    {
      ...{ id: 'by', header: t('by') },
      cell: ({ actor_id, actor_type }) =>
        actor_id ? <Id value={actor_id} what={t('by')} short /> : actor_type,
    },
  ];
  return (
    <>
      <DataTable
        caption={t('history_caption')}
        columns={columns}
        list={list}
        rowKey={({ id }) => id}
        nothing={t('history_none')}
      />
      <Link href={`/audit${site ? `?site_id=${site}` : ''}`}>{t('history_all')}</Link>
    </>
  );
}

const siteColumn = (names: ReadonlyMap<string, string>): Column<AuditEntry> => ({
  ...{ id: 'site', header: t('site'), names: true },
  cell: ({ site_id }) =>
    site_id ? <Link href={`/sites/${site_id}`}>{names.get(site_id) ?? site_id.slice(0, 8)}</Link> : '–',
});

/** No filter of the audit log names them all: three of its lists, newest first. */
function useHistory(site_id: string | undefined): List<AuditEntry> {
  const query = { site_id, limit: entries_read };
  const reads = [
    useRead('GET /api/admin/audit', { query: { ...query, resource_type: 'site_plan' } }),
    useRead('GET /api/admin/audit', { query: { ...query, resource_type: 'plan' } }),
    useRead('GET /api/admin/audit', { query: { ...query, action: 'billing_enforcement' } }),
  ];
  const answers = reads.map(({ answer }) => answer?.entries);
  const rows = answers.every((entries) => entries !== undefined)
    ? answers
        .flat()
        .sort((a, b) => Number(BigInt(b.id) - BigInt(a.id)))
        .slice(0, entries_read)
    : undefined;
  return {
    rows,
    as_of_ms: reads[0]?.as_of_ms,
    loading: reads.some(({ loading }) => loading),
    error: reads.find(({ error }) => error)?.error ?? null,
    retry: () => {
      for (const { retry } of reads) retry();
    },
    all: async () => rows ?? [],
  };
}

/** The plan that the site had before this one, as far as the entries go back. */
function before(rows: readonly AuditEntry[] | undefined, entry: AuditEntry): AuditEntry | undefined {
  return rows?.find(
    ({ id, action, site_id }) =>
      action === 'plan_set' && site_id === entry.site_id && BigInt(id) < BigInt(entry.id),
  );
}
