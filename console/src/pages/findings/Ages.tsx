// Open findings by age, as bars; what is older than a week is marked.
import { useRead } from '../../api/query.ts';
import { BarChart } from '../../parts/Chart.tsx';
import { Show } from '../../parts/states.tsx';
import { t } from '../../words/findings.ts';

const shown = 200;
const hour_s = 3_600;
const day_s = 24 * hour_s;

export function Ages({ tenant_id }: { tenant_id: string }) {
  const read = useRead(
    'GET /api/v1/payments/reconciliation/findings',
    { query: { status: 'OPEN', tenant_id, limit: shown } },
    { live: true },
  );
  const buckets = [
    { label: t('age_hour'), below: hour_s },
    { label: t('age_day'), below: day_s },
    { label: t('age_week'), below: 7 * day_s },
    { label: t('age_month'), below: 30 * day_s, marked: true },
    { label: t('age_old'), below: Number.POSITIVE_INFINITY, marked: true },
  ];
  return (
    <Show read={read}>
      {({ items, meta }) => {
        if (meta.total === 0) return null;
        const bucketOf = (age_s: number) => buckets.findIndex(({ below }) => age_s < below);
        const bars = buckets.map(({ label, marked }, index) => ({
          label,
          value: items.filter(({ age_s }) => bucketOf(age_s ?? 0) === index).length,
          ...(marked && { marked }),
        }));
        return (
          <>
            <BarChart title={t('ages')} unit={t('ages_unit')} bars={bars} height={160} />
            {meta.total > shown && (
              <p className="muted small">{t('ages_newest', { n: items.length, total: meta.total })}</p>
            )}
          </>
        );
      }}
    </Show>
  );
}
