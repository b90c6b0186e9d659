// Invoices: the frozen months of a site with their corrections, and the open month as a draft.
import { Link, useLocation, useParams } from 'wouter';
import type { Answer } from '../api/client.ts';
import { useList } from '../api/query.ts';
import { Id } from '../parts/Copy.tsx';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { Badge, Count } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Failed, Loading, Nothing } from '../parts/states.tsx';
import { When } from '../parts/When.tsx';
import { formatMonth } from '../words/format.ts';
import { t } from '../words/invoices.ts';
import { Draft } from './invoices/Draft.tsx';
import { corrected, invoicePath, signed } from './invoices/figures.ts';
import { type NamedSite, SiteChoice, siteOf, useSites } from './invoices/sites.tsx';
import '../styles/invoices.css';

export type Invoice = Answer<'GET /api/sites/{ref}/invoices'>['invoices'][number];

export default function Invoices() {
  const { ref } = useParams();
  const [, go] = useLocation();
  const sites = useSites('billing:view');
  const site = ref === undefined ? sites.sites?.[0] : siteOf(sites, ref);
  const shown = site?.public_id ?? ref;
  return (
    <Page title={site ? t('title_of', { site: site.name }) : t('title')}>
      {sites.error && <Failed error={sites.error} retry={sites.retry} />}
      {sites.sites && sites.sites.length > 0 && (
        <div className="filters">
          <SiteChoice of={sites} value={shown ?? ''} choose={(to) => go(`/sites/${to}/invoices`)} />
        </div>
      )}
      {!sites.sites && !sites.error && <Loading />}
      {sites.sites?.length === 0 && !ref && <Nothing>{t('no_site')}</Nothing>}
      {shown && <OfSite key={shown} ref_={shown} site={site} />}
    </Page>
  );
}

function OfSite({ ref_: ref, site }: { ref_: string; site: NamedSite | undefined }) {
  const list = useList(
    'GET /api/sites/{ref}/invoices',
    { path: { ref }, query: { limit: 24 } },
    { rows: (answer) => answer.invoices },
  );
  return (
    <>
      <Draft ref_={ref} site={site} newest={list.newest ? undefined : list.rows} />
      <Section title={t('frozen_months')}>
        <DataTable
          caption={t('caption', { site: site?.name ?? ref })}
          columns={columns(ref)}
          list={list}
          rowKey={(row) => row.year_month}
          nothing={t('nothing')}
          csv={`invoices-${ref}`}
          rowTone={(row) => (row.hash_version === 0 ? 'warn' : undefined)}
        />
      </Section>
    </>
  );
}

function columns(ref: string): Column<Invoice>[] {
  return [
    {
      ...{ id: 'month', header: t('month'), names: true, sort: (row) => row.year_month },
      cell: (row) => <Link href={invoicePath(ref, row.year_month)}>{formatMonth(row.year_month)}</Link>,
      text: (row) => row.year_month,
    },
    {
      ...{ id: 'events', header: t('events'), unit: t('unit'), align: 'end' },
      sort: (row) => BigInt(row.event_count),
      cell: (row) => <Count value={row.event_count} />,
      text: (row) => row.event_count,
    },
    {
      ...{ id: 'overage', header: t('overage'), unit: t('unit'), align: 'end' },
      sort: (row) => BigInt(row.overage_count),
      cell: (row) => <Count value={row.overage_count} />,
      text: (row) => row.overage_count,
    },
    {
      ...{ id: 'state', header: t('state'), text: (row) => stateOf(row) },
      cell: (row) => <State invoice={row} />,
    },
    {
      ...{ id: 'corrections', header: t('corrections') },
      cell: (row) => <Corrections invoice={row} ref_={ref} />,
      text: (row) => (corrected(row) - BigInt(row.event_count)).toString(),
    },
    {
      ...{ id: 'hash', header: t('hash'), text: (row) => row.snapshot_hash },
      cell: (row) => <Id value={row.snapshot_hash} what={t('hash')} short />,
    },
    {
      ...{ id: 'frozen', header: t('frozen_at'), sort: (row) => row.frozen_at, text: (row) => row.frozen_at },
      cell: (row) => <When at={row.frozen_at} />,
    },
    {
      ...{ id: 'commit', header: t('commit'), text: (row) => row.commit_sha },
      cell: (row) => (row.commit_sha ? <Id value={row.commit_sha} what={t('commit')} short /> : '–'),
    },
    {
      ...{ id: 'prove', header: t('prove') },
      cell: (row) => (
        <Link
          href={`${invoicePath(ref, row.year_month)}#prove`}
          aria-label={t('prove_of', { month: formatMonth(row.year_month) })}
        >
          {t('prove')}
        </Link>
      ),
    },
  ];
}

function stateOf({ hash_version, corrected_by }: Invoice): 'foreign' | 'adjusted' | 'frozen' {
  if (hash_version === 0) return 'foreign';
  return corrected_by.length > 0 ? 'adjusted' : 'frozen';
}

export function State({ invoice }: { invoice: Invoice }) {
  const state = stateOf(invoice);
  const tone = { foreign: 'warn', adjusted: 'info', frozen: 'good' } as const;
  return (
    <span {...(state === 'foreign' && { title: t('foreign_note') })}>
      <Badge tone={tone[state]}>{t(state)}</Badge>
    </span>
  );
}

/** Each with a link to the month at its other end. */
function Corrections({ invoice, ref_: ref }: { invoice: Invoice; ref_: string }) {
  const { adjustments, corrected_by } = invoice;
  if (adjustments.length + corrected_by.length === 0) return <span className="muted">–</span>;
  return (
    <ul className="plain">
      {corrected_by.map((one) => (
        <li key={`later-${one.id}`}>
          <Link href={invoicePath(ref, one.year_month)}>
            {t('correction_later', { delta: signed(one.event_delta), month: formatMonth(one.year_month) })}
          </Link>
        </li>
      ))}
      {adjustments.map((one) => (
        <li key={`of-${one.id}`}>
          <Link href={invoicePath(ref, one.corrects_month)}>
            {t('correction_of', { delta: signed(one.event_delta), month: formatMonth(one.corrects_month) })}
          </Link>
        </li>
      ))}
    </ul>
  );
}
