// Starts the reconciliation of wallets for a day, and says what it found.
import { useState } from 'react';
import { Link } from 'wouter';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field } from '../../parts/Field.tsx';
import { Section } from '../../parts/Page.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';
import { t as shell } from '../../words/words.ts';

export function Wallets() {
  const [open, setOpen] = useState(false);
  const viewer = useViewer();
  const act = useAct('POST /api/jobs/reconcile');
  const seesFindings = has(viewer, 'finance') || has(viewer, 'platform-admin');
  return (
    <Section title={t('wallets')}>
      <p>
        {t('wallets_text')} {seesFindings && <Link href="/findings">{shell('nav_findings')}</Link>}
      </p>
      <button type="button" onClick={() => setOpen(true)}>
        {t('reconcile')}
      </button>
      {open && (
        <ReasonDialog
          title={t('reconcile')}
          consequence={t('reconcile_consequence')}
          action={t('reconcile')}
          reason="none"
          fields={<Field label={t('day')}>{(field) => <input type="date" name="date" {...field} />}</Field>}
          act={async ({ form }) => {
            const date = String(form.get('date') ?? '') || null;
            const { results, remaining } = await act.run({ body: { date } });
            return t('reconciled', {
              n: results.total,
              clean: formatCount(results.clean),
              adjusted: formatCount(results.adjusted),
              errors: formatCount(results.errors),
              left: t(remaining ? 'reconciled_left' : 'reconciled_all'),
            });
          }}
          onClose={() => setOpen(false)}
        />
      )}
    </Section>
  );
}
