// What people do with a finding: name an owner, resolve it, accept the difference, or correct the wallet.
import { useState } from 'react';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field } from '../../parts/Field.tsx';
import { useViewer } from '../../session/viewer.ts';
import { t } from '../../words/findings.ts';
import { worded } from '../money/refusal.ts';
import { Correct } from './Correct.tsx';
import type { Whole } from './kinds.ts';

type Step = 'own' | 'resolve' | 'accept' | 'correct';

/** Why the wallet cannot be corrected by this person now; undefined: it can. */
function obstacle(finding: Whole, subject: string): string | undefined {
  if (finding.player_id === null) return t('correct_no_player');
  if (finding.player_id === subject) return t('correct_own');
  if (finding.corrections.some(({ state }) => state === 'proposed')) return t('correct_pending');
  return undefined;
}

export function Steps({ finding }: { finding: Whole }) {
  const { session } = useViewer();
  const [step, setStep] = useState<Step>();
  const own = useAct('PUT /api/v1/payments/reconciliation/findings/{id}/owner');
  const at = { path: { id: finding.id }, query: { tenant_id: finding.tenant_id ?? undefined } };
  const open = finding.status === 'OPEN';
  const blocked = obstacle(finding, session.subject);
  const pending = finding.corrections.some(({ state }) => state === 'proposed');
  const give = (owner: string | null) => own.run({ ...at, body: { owner } });
  const close = () => setStep(undefined);
  return (
    <>
      <div className="actions">
        {finding.owner === session.name ? (
          <button type="button" disabled={own.running} onClick={() => void give(null)}>
            {t('own_drop')}
          </button>
        ) : (
          <button type="button" disabled={own.running} onClick={() => void give(session.name)}>
            {t('own_take')}
          </button>
        )}
        <button type="button" onClick={() => setStep('own')}>
          {t('own')}
        </button>
        {open && (
          <>
            <button type="button" disabled={pending} onClick={() => setStep('resolve')}>
              {t('resolve')}
            </button>
            <button type="button" disabled={pending} onClick={() => setStep('accept')}>
              {t('accept')}
            </button>
            <button
              type="button"
              className="primary"
              disabled={blocked !== undefined}
              onClick={() => setStep('correct')}
            >
              {t('correct')}
            </button>
          </>
        )}
      </div>
      {open && blocked && <p className="muted small">{blocked}</p>}
      {own.error && <p role="alert">{own.error.message}</p>}
      {step === 'own' && <Assign finding={finding} give={give} onClose={close} />}
      {(step === 'resolve' || step === 'accept') && <Resolve finding={finding} step={step} onClose={close} />}
      {step === 'correct' && <Correct finding={finding} onClose={close} />}
    </>
  );
}

interface AssignProps {
  finding: Whole;
  give: (owner: string | null) => Promise<{ finding: { owner: string | null } }>;
  onClose: () => void;
}

function Assign({ finding, give, onClose }: AssignProps) {
  return (
    <ReasonDialog
      title={t('own_title')}
      consequence={t('own_consequence')}
      action={t('own')}
      reason="none"
      fields={
        <Field label={t('owner')} hint={t('own_hint')}>
          {(field) => <input name="owner" defaultValue={finding.owner ?? ''} maxLength={200} {...field} />}
        </Field>
      }
      act={async ({ form }) => {
        const { finding: now } = await worded(give(String(form.get('owner') ?? '').trim() || null));
        return t('own_done', { owner: now.owner ?? t('nobody') });
      }}
      onClose={onClose}
    />
  );
}

interface ResolveProps {
  finding: Whole;
  step: 'resolve' | 'accept';
  onClose: () => void;
}

function Resolve({ finding, step, onClose }: ResolveProps) {
  const resolve = useAct('POST /api/v1/payments/reconciliation/findings/{id}/resolve');
  return (
    <ReasonDialog
      title={step === 'resolve' ? t('resolve_title') : t('accept')}
      consequence={t(`${step}_consequence`)}
      action={t(step)}
      act={async ({ reason }) => {
        await worded(
          resolve.run({
            path: { id: finding.id },
            query: { tenant_id: finding.tenant_id ?? undefined },
            body: { reason, accept: step === 'accept' },
          }),
        );
        return t('resolved');
      }}
      onClose={onClose}
    />
  );
}
