// Who a player is to finance: identity and verification, and the decisions about them.
import { useState } from 'react';
import type { Answer } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Badge, type Tone } from '../../parts/numbers.tsx';
import { When } from '../../parts/When.tsx';
import { useViewer } from '../../session/viewer.ts';
import { t } from '../../words/wallets.ts';
import { Person } from '../money/Person.tsx';
import { worded } from '../money/refusal.ts';

export type Player = Answer<'GET /api/v1/admin/players/{id}/wallet'>['player'];
const tones: Record<Player['kyc_status'], Tone> = {
  none: 'plain',
  pending: 'info',
  approved: 'good',
  rejected: 'bad',
};
type Step = 'approve_kyc' | 'reject_kyc' | 'set_verified';

export function Identity({ player }: { player: Player }) {
  const { session } = useViewer();
  const [step, setStep] = useState<Step>();
  const own = session.subject === player.player_id;
  const verified = player.email_verified && player.sms_verified;
  const steps: readonly Step[] = [
    ...(player.kyc_status === 'approved' ? [] : (['approve_kyc'] as const)),
    ...(player.kyc_status === 'rejected' ? [] : (['reject_kyc'] as const)),
    ...(verified ? [] : (['set_verified'] as const)),
  ];
  return (
    <div className="card">
      <Facts player={player} />
      <div className="actions">
        {steps.map((one) => (
          <button key={one} type="button" disabled={own} onClick={() => setStep(one)}>
            {t(one)}
          </button>
        ))}
        {own && <span className="muted small">{t('own')}</span>}
      </div>
      {step && <StepDialog step={step} player={player} onClose={() => setStep(undefined)} />}
    </div>
  );
}

function Facts({ player }: { player: Player }) {
  return (
    <dl className="pairs">
      <dt>{t('tenant')}</dt>
      <dd>{player.tenant_id}</dd>
      <dt>{t('kyc')}</dt>
      <dd>
        <Badge tone={tones[player.kyc_status]}>{t(`kyc_${player.kyc_status}`)}</Badge>
      </dd>
      {player.kyc_decided_at && (
        <>
          <dt>{t('decided')}</dt>
          <dd>
            <When at={player.kyc_decided_at} /> <Person id={player.kyc_decided_by} />
            {player.kyc_reason && <div>{player.kyc_reason}</div>}
          </dd>
        </>
      )}
      <dt>{t('email')}</dt>
      <dd>{player.email_verified ? t('verified') : t('not_verified')}</dd>
      <dt>{t('telephone')}</dt>
      <dd>{player.sms_verified ? t('verified') : t('not_verified')}</dd>
      <dt>{t('registered')}</dt>
      <dd>
        <When at={player.created_at} />
      </dd>
    </dl>
  );
}

function StepDialog({ step, player, onClose }: { step: Step; player: Player; onClose: () => void }) {
  const kyc = useAct('POST /api/v1/admin/players/{id}/kyc');
  const verification = useAct('POST /api/v1/admin/players/{id}/verification');
  const at = { path: { id: player.player_id }, query: { tenant_id: player.tenant_id } };
  const act = async (reason: string) => {
    if (step === 'set_verified') {
      const body = { email_verified: true, sms_verified: true };
      await worded(verification.run({ ...at, body }));
      return t('verified');
    }
    const decision = step === 'approve_kyc' ? 'approved' : 'rejected';
    const answer = await worded(kyc.run({ ...at, body: { decision, reason } }));
    return t('kyc_done', { status: t(`kyc_${answer.player.kyc_status}`) });
  };
  return (
    <ReasonDialog
      title={t(step)}
      consequence={t(`${step}_consequence`)}
      action={t(step)}
      danger={step === 'reject_kyc'}
      reason={step === 'set_verified' ? 'none' : 'needed'}
      act={({ reason }) => act(reason)}
      onClose={onClose}
    />
  );
}
