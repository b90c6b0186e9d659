// Corrections of a finding: what was posted or proposed, and the decision of the second person.
import { useState } from 'react';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Amount, Badge, type Tone } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { useViewer } from '../../session/viewer.ts';
import { t } from '../../words/findings.ts';
import { formatAmount } from '../../words/format.ts';
import { Person } from '../money/Person.tsx';
import { worded } from '../money/refusal.ts';
import type { Whole } from './kinds.ts';

type Correction = Whole['corrections'][number];
type Step = 'approve' | 'reject';
const tones: Record<Correction['state'], Tone> = { proposed: 'warn', posted: 'good', rejected: 'plain' };
const amountOf = ({ delta_minor, currency }: Correction) => formatAmount(delta_minor, currency);

interface Props {
  finding: Whole;
  openMovement: (id: string) => void;
}

export function Corrections({ finding, openMovement }: Props) {
  const [deciding, setDeciding] = useState<{ step: Step; correction: Correction }>();
  if (finding.corrections.length === 0) return <p className="muted">{t('corrections_none')}</p>;
  return (
    <ul className="plain">
      {finding.corrections.map((correction) => (
        <li key={correction.id} className="card">
          <p>
            <strong>
              <Amount minor={correction.delta_minor} currency={correction.currency} />
            </strong>{' '}
            <Badge tone={tones[correction.state]}>{t(`correction_${correction.state}`)}</Badge>{' '}
            {correction.transfer_id && (
              <button
                type="button"
                className="link"
                onClick={() => correction.transfer_id && openMovement(correction.transfer_id)}
              >
                {t('movement')}
              </button>
            )}
          </p>
          <p>{correction.reason}</p>
          <p className="small">
            {t('proposed_by')} <Person id={correction.proposed_by} /> <When at={correction.created_at} />
            {correction.decided_by && (
              <>
                {' · '}
                {t('decided_by')} <Person id={correction.decided_by} /> <When at={correction.decided_at} />
                {correction.decision && <q>{correction.decision}</q>}
              </>
            )}
          </p>
          {correction.state === 'proposed' && (
            <Steps correction={correction} start={(step) => setDeciding({ step, correction })} />
          )}
        </li>
      ))}
      {deciding && (
        <Decide {...deciding} tenant_id={finding.tenant_id} onClose={() => setDeciding(undefined)} />
      )}
    </ul>
  );
}

function Steps({ correction, start }: { correction: Correction; start: (step: Step) => void }) {
  const { session } = useViewer();
  const own = [correction.proposed_by, correction.player_id].includes(session.subject);
  return (
    <div className="actions">
      <button type="button" className="primary" disabled={own} onClick={() => start('approve')}>
        {t('approve')}
      </button>
      <button type="button" disabled={own} onClick={() => start('reject')}>
        {t('reject')}
      </button>
      {own && <span className="muted small">{t('proposed_own')}</span>}
    </div>
  );
}

interface DecideProps {
  step: Step;
  correction: Correction;
  tenant_id: string | null;
  onClose: () => void;
}

function Decide({ step, correction, tenant_id, onClose }: DecideProps) {
  const decide = useAct('POST /api/v1/payments/reconciliation/corrections/{id}/decision');
  const amount = amountOf(correction);
  return (
    <ReasonDialog
      title={t(`${step}_title`)}
      consequence={
        step === 'approve'
          ? t('approve_consequence', { amount, player: correction.player_id })
          : t('reject_consequence', { amount })
      }
      action={`${t(step)} · ${amount}`}
      danger={step === 'reject'}
      act={async ({ reason }) => {
        const answer = await worded(
          decide.run({
            path: { id: correction.id },
            query: { tenant_id: tenant_id ?? undefined },
            body: { action: step, reason },
          }),
        );
        return answer.correction.state === 'posted' ? t('decided_posted', { amount }) : t('decided_rejected');
      }}
      onClose={onClose}
    />
  );
}
