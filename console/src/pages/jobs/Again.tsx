// Has a month of a site reconciled again: after a job was given up, or when somebody wants to know now.
import { useState } from 'react';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';

interface AgainProps {
  /** Public id of the site. */
  site: string;
  month: string;
}

export function Again({ site, month }: AgainProps) {
  const [open, setOpen] = useState(false);
  const act = useAct('POST /api/sites/{ref}/jobs');
  const of = { site, month: formatMonth(month) };
  return (
    <>
      <button type="button" aria-label={t('again_of', of)} onClick={() => setOpen(true)}>
        {t('again')}
      </button>
      {open && (
        <ReasonDialog
          title={t('again_of', of)}
          consequence={t('again_consequence', of)}
          action={t('again')}
          reason="none"
          act={async () => {
            const { queued } = await act.run({ path: { ref: site }, body: { year_month: month } });
            return t(queued ? 'again_queued' : 'again_already', of);
          }}
          onClose={() => setOpen(false)}
        />
      )}
    </>
  );
}
