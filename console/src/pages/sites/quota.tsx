// How full a quota is, and how full it will be at the end of the month when it goes on like this.
import { Count, Progress } from '../../parts/numbers.tsx';
import { formatDay, formatPercent } from '../../words/format.ts';
import { t } from '../../words/sites.ts';
import { monthOf } from './months.tsx';

const day_ms = 86_400_000;
/** Before this the first hours would speak for the whole month. */
const elapsed_min_ms = 2 * day_ms;

/** Used by the end of the month at the pace until now, as a share of the limit; undefined where that says nothing. */
export function projectedShare(used: string, limit: string, now_ms = Date.now()): number | undefined {
  const begin = Date.parse(`${monthOf()}-01`);
  const elapsed = now_ms - begin;
  if (elapsed < elapsed_min_ms || BigInt(limit) === 0n) return undefined;
  return (Number(used) * ((Date.parse(`${monthOf(1)}-01`) - begin) / elapsed)) / Number(limit);
}

interface QuotaBarProps {
  site: string;
  used: string;
  limit: string;
  /** Only this month goes on. */
  current: boolean;
}

export function QuotaBar({ site, used, limit, current }: QuotaBarProps) {
  if (limit === '0')
    return (
      <div className="quota">
        <Count value={used} /> <span className="small muted">{t('limit_zero')}</span>
      </div>
    );
  const share = projectedShare(used, limit);
  const day = formatDay(Date.parse(`${monthOf(1)}-01`) - day_ms);
  return (
    <div className="quota">
      <Progress label={t('quota_of', { site })} done={used} total={limit} />
      {current && (
        <div className={share !== undefined && share > 1 ? 'small quota-over' : 'small muted'}>
          {share === undefined
            ? t('too_early')
            : t(share > 1 ? 'projected_over' : 'projected', { percent: formatPercent(share), day })}
        </div>
      )}
    </div>
  );
}
