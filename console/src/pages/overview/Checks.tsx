// Every check of the watchtower in words, the well ones too.
import type { Overview } from '../../api/client.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { t } from '../../words/overview.ts';
import { checksOf, type Finding } from './checks.ts';
import { To } from './reach.tsx';

export function Checks({ overview }: { overview: Overview }) {
  const columns: Column<Finding>[] = [
    {
      ...{ id: 'check', header: t('check'), names: true },
      cell: ({ text, href }) => (href ? <To href={href}>{text}</To> : text),
    },
    {
      ...{ id: 'verdict', header: t('verdict') },
      cell: ({ level }) => <Badge tone={level}>{t(`level_${level}`)}</Badge>,
    },
  ];
  return (
    <Section title={t('checks')}>
      <DataTable
        caption={t('checks_caption')}
        columns={columns}
        list={listOf(checksOf(overview))}
        rowKey={({ id }) => id}
        rowTone={({ level }) => (level === 'bad' || level === 'warn' ? level : undefined)}
      />
    </Section>
  );
}
