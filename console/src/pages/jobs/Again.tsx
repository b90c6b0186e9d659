// Has a month of a site reconciled again: after a job was given up, or when somebody wants to know now.
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';

export interface SiteMonth {
  /** Public id of the site. */
  site: string;
  month: string;
}

/** Of the page, not of the row: the row changes as soon as the job is queued. */
export function AgainDialog({ site, month, onClose }: SiteMonth & { onClose: () => void }) {
  const act = useAct('POST /api/sites/{ref}/jobs');
  const of = { site, month: formatMonth(month) };
  return (
    <ReasonDialog
      title={t('again_of', of)}
      consequence={t('again_consequence', of)}
      action={t('again')}
      reason="none"
      act={async () => {
        const { queued } = await act.run({ path: { ref: site }, body: { year_month: month } });
        return t(queued ? 'again_queued' : 'again_already', of);
      }}
      onClose={onClose}
    />
  );
}

export function AgainButton({ site, month, open }: SiteMonth & { open: (of: SiteMonth) => void }) {
  return (
    <button
      type="button"
      aria-label={t('again_of', { site, month: formatMonth(month) })}
      onClick={() => open({ site, month })}
    >
      {t('again')}
    </button>
  );
}
