// The rows of a site's ledger by month, verdict and day.
import { Link } from 'wouter';
import type { LedgerRow } from '../../api/client.ts';
import { useList } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Field, Filters, Select } from '../../parts/Field.tsx';
import { Badge, Count } from '../../parts/numbers.tsx';
import { Nothing } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/events.ts';
import { formatDay, formatMonth } from '../../words/format.ts';
import type { KnownSite } from '../Events.tsx';
import { MonthSelect, monthOf } from '../sites/months.tsx';
import { deliveryTones, reasonWords, stateTone, stateWords } from './row-words.ts';

const verdicts = [
  ...(['all', 'counted', 'accepted', 'overage', 'rejected_quota'] as const),
  ...(['unbilled', 'conflict', 'waiting', 'undelivered'] as const),
];
type Verdict = (typeof verdicts)[number];

interface RowsProps {
  sites: readonly KnownSite[];
  site: string;
  view: { month: string; verdict: string; day: string };
  setView: (change: Record<string, string>) => void;
}

export function Rows({ sites, site, view, setView }: RowsProps) {
  const verdict = verdicts.find((one) => one === view.verdict) ?? 'all';
  const filtered = verdict !== 'all' || view.day !== '';
  // The site stays: without it there are no rows.
  const reset = () => setView({ month: '', verdict: 'all', day: '' });
  const clear = filtered || view.month !== '' ? reset : undefined;
  return (
    <>
      <Filters apply={setView} clear={clear}>
        <SiteSelect sites={sites} site={site} />
        <MonthSelect value={view.month} />
        <Select
          label={t('verdict')}
          name="verdict"
          value={verdict}
          options={verdicts.map((value) => ({ value, label: t(`verdict_${value}`) }))}
        />
        <Field label={t('day')}>
          {(field) => <input type="date" name="day" defaultValue={view.day} key={view.day} {...field} />}
        </Field>
      </Filters>
      {site ? <SiteRows {...{ site, verdict, view, setView, filtered, clear }} /> : <Choose sites={sites} />}
    </>
  );
}

function SiteSelect({ sites, site }: { sites: readonly KnownSite[]; site: string }) {
  const known = sites.find(({ id, public_id }) => id === site || public_id === site);
  const options = [
    ...(site === '' ? [{ value: '', label: t('choose') }] : []),
    ...(site !== '' && !known ? [{ value: site, label: site }] : []),
    ...sites.map(({ public_id, name }) => ({
      value: public_id,
      label: sites.filter((one) => one.name === name).length > 1 ? `${name} (${public_id})` : name,
    })),
  ];
  return <Select label={t('site')} name="site" value={known?.public_id ?? site} options={options} />;
}

function Choose({ sites }: { sites: readonly KnownSite[] }) {
  return (
    <Nothing>
      <p>{t('choose_text')}</p>
      <ul className="choices">
        {sites.map(({ id, public_id, name }) => (
          <li key={id}>
            <Link href={`/events?site=${encodeURIComponent(public_id)}`}>{name}</Link>
          </li>
        ))}
      </ul>
    </Nothing>
  );
}

interface SiteRowsProps extends Omit<RowsProps, 'sites'> {
  verdict: Verdict;
  filtered: boolean;
  clear: (() => void) | undefined;
}

function SiteRows({ site, verdict, view, setView, filtered, clear }: SiteRowsProps) {
  // A day says its month, too.
  const month = view.day ? view.day.slice(0, 7) : view.month;
  const list = useList(
    'GET /api/sites/{ref}/events',
    { path: { ref: site }, query: { month, verdict, day: view.day, limit: 50 } },
    { rows: ({ rows }) => rows, live: true },
  );
  const columns: Column<LedgerRow>[] = [
    {
      ...{ id: 'time', header: t('time'), text: (row) => row.created_at },
      cell: ({ created_at }) => <When at={created_at} />,
    },
    {
      ...{ id: 'event', header: t('event'), names: true, text: (row) => row.ingest_id },
      cell: ({ ingest_id }) =>
        ingest_id ? (
          <button type="button" className="link" onClick={() => setView({ id: ingest_id })}>
            <code>{`${ingest_id.slice(0, 8)}…${ingest_id.slice(-6)}`}</code>
          </button>
        ) : (
          <span className="muted">{t('none_taken')}</span>
        ),
    },
    {
      ...{ id: 'state', header: t('state'), text: (row) => row.billing_state },
      cell: ({ billing_state }) => <Badge tone={stateTone(billing_state)}>{stateWords(billing_state)}</Badge>,
    },
    {
      ...{ id: 'reason', header: t('reason'), text: (row) => row.billing_reason },
      cell: ({ billing_reason }) => reasonWords(billing_reason),
    },
    {
      ...{ id: 'billed', header: t('billed'), text: (row) => row.billable },
      cell: ({ billable }) => t(billable ? 'yes' : 'no'),
    },
    {
      ...{ id: 'delivery', header: t('delivery'), text: (row) => row.delivery },
      cell: ({ delivery }) => <Badge tone={deliveryTones[delivery]}>{t(`delivery_${delivery}`)}</Badge>,
    },
    {
      ...{ id: 'conflicts', header: t('conflicts'), align: 'end', text: (row) => row.conflicts },
      cell: ({ conflicts }) => <Count value={conflicts} />,
    },
    {
      ...{ id: 'key', header: t('key'), text: (row) => row.idempotency_key },
      cell: ({ idempotency_key }) => <Id value={idempotency_key} what={t('key')} short />,
    },
  ];
  const period = view.day ? formatDay(view.day) : formatMonth(month || monthOf());
  return (
    <DataTable
      caption={t('caption', { site, period })}
      {...{ columns, list, filtered, clear }}
      rowKey={(row) => `${row.created_at} ${row.idempotency_key}`}
      rowTone={({ delivery, conflicts }) =>
        delivery === 'failed' ? 'bad' : conflicts !== '0' ? 'warn' : undefined
      }
      nothing={t('nothing')}
      csv={`events-${site}-${view.day || month || monthOf()}-${verdict}`}
    />
  );
}
