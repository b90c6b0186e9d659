// What an export would hold, before anything is exported: rows, size, corrections and the hashes that are known.
import { ApiError } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { Count, Stat, Stats } from '../../parts/numbers.tsx';
import { Failed, Loading } from '../../parts/states.tsx';
import { languageTag } from '../../shell/settings.ts';
import { t } from '../../words/dispute.ts';
import { formatCount, formatMonth } from '../../words/format.ts';
import { invoicePath, monthAfter, openMonth } from '../invoices/figures.ts';

const inline_rows_max = 20_000;
const columns = 'created_at,idempotency_key,idempotency_version,billing_state,billable';
/** A row as it is written most often: an instant, a key of version 3, a state and a truth. */
const row_bytes = 82;

interface PreviewProps {
  ref_: string;
  name: string;
  month: string;
  back: () => void;
  go: (rows: string) => void;
}

export function Preview({ ref_: ref, name, month, back, go }: PreviewProps) {
  const known = usePreview(ref, month);
  if (known.error) return <Failed error={known.error} retry={known.retry} />;
  if (known.rows === undefined) return <Loading />;
  const { rows, proof, corrections } = known;
  const count = formatCount(rows);
  const size = sizeOf(Number(rows) * row_bytes);
  const long = BigInt(rows) > inline_rows_max;
  return (
    <>
      <Stats>
        <Stat
          label={t('rows')}
          value={<Count value={rows} />}
          unit={t('rows_unit')}
          as_of={known.as_of_ms}
          href={proof ? invoicePath(ref, month) : `/sites/${ref}`}
          note={t(long ? 'long_note' : 'inline_note')}
        />
        <Stat label={t('size')} value={size} />
        <Stat
          label={t('corrections')}
          value={<Count value={corrections ?? 0} />}
          unit={t('corrections_unit')}
        />
      </Stats>
      <section className="section pairs-card">
        <dl className="pairs">
          <dt>{t('columns')}</dt>
          <dd>
            <code>{columns}</code>
          </dd>
          {proof && (
            <>
              <dt>{t('snapshot_hash')}</dt>
              <dd>
                <Id value={proof.snapshot_hash} what={t('snapshot_hash')} />
              </dd>
            </>
          )}
          {proof?.seal && (
            <>
              <dt>{t('ledger_hash')}</dt>
              <dd>
                <Id value={proof.seal.ledger_hash} what={t('ledger_hash')} />
              </dd>
            </>
          )}
          <dt>{t('export_hash')}</dt>
          <dd>{t('hash_later')}</dd>
        </dl>
      </section>
      {!proof && <p className="state">{t('open_note')}</p>}
      {proof?.archive?.purged && <p className="state">{t('archived_note')}</p>}
      {rows === '0' && <p className="state">{t('empty')}</p>}
      <div className="section consequence">
        {t('consequence', { rows: count, month: formatMonth(month), site: name })}
      </div>
      <div className="actions">
        <button type="button" className="primary" onClick={() => go(rows)}>
          {t('export', { rows: count })}
        </button>
        <button type="button" onClick={back}>
          {t('to_scope')}
        </button>
      </div>
    </>
  );
}

/** "33 kB", "8.2 MB" */
function sizeOf(bytes: number): string {
  const large = bytes >= 1e6;
  return new Intl.NumberFormat(languageTag(), {
    ...{ style: 'unit', unit: large ? 'megabyte' : 'kilobyte', maximumSignificantDigits: 2 },
  }).format(bytes / (large ? 1e6 : 1e3));
}

/** A frozen month says it by its proof, an open one by its usage. */
function usePreview(ref: string, month: string) {
  const begun = month >= openMonth(); // it cannot be frozen, so the kernel is not asked
  const proof = useRead(
    'GET /api/sites/{ref}/invoices/{month}',
    { path: { ref, month } },
    { enabled: !begun },
  );
  const open = begun || (proof.error instanceof ApiError && proof.error.code === 'month_not_frozen');
  const usage = useRead('GET /api/sites/{ref}/usage', { path: { ref }, query: { month } }, { enabled: open });
  const invoice = useRead(
    'GET /api/sites/{ref}/invoices',
    { path: { ref }, query: { cursor: monthAfter(month, 1), limit: 1 } },
    { enabled: !open },
  );
  const [source, error] = open ? [usage, usage.error] : [proof, proof.error];
  const frozen = proof.answer?.proof;
  const sealed = frozen?.seal?.row_count ?? frozen?.ledger.event_count;
  return {
    rows: open ? usage.answer?.ledger.rows : sealed,
    proof: frozen,
    corrections: invoice.answer?.invoices.find(({ year_month }) => year_month === month)?.adjustments.length,
    as_of_ms: source.as_of_ms,
    error,
    retry: source.retry,
  };
}
