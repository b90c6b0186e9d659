// Sets the plan of a site, and says before what that would mean with today's usage.
import { useState } from 'react';
import type { Plan } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field } from '../../parts/Field.tsx';
import { formatCount, formatPercent } from '../../words/format.ts';
import { t } from '../../words/plans.ts';
import { capOf } from '../site/PlanCard.tsx';
import { projectedShare } from '../sites/quota.tsx';
import type { ChangeProps } from './PlanDrawer.tsx';

interface Wanted {
  limit: string;
  soft: boolean;
  multiplier: string;
}

const isWhole = (value: string) => /^\d{1,12}$/.test(value);
const isValid = ({ limit, multiplier }: Wanted) =>
  isWhole(limit) &&
  /^\d{1,4}(\.\d{1,3})?$/.test(multiplier) &&
  Number(multiplier) >= 1 &&
  Number(multiplier) <= 1000;

export function SetPlan({ site, name, plan, quota, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/sites/{ref}/plan');
  const [wanted, setWanted] = useState<Wanted>({
    limit: plan.monthly_limit,
    soft: plan.soft_limit_enabled,
    multiplier: plan.hard_cap_multiplier,
  });
  const change = (part: Partial<Wanted>) => setWanted((known) => ({ ...known, ...part }));
  const shown = isWhole(wanted.limit) ? formatCount(wanted.limit) : '?';
  return (
    <ReasonDialog
      title={`${t('set_plan')}: ${name}`}
      consequence={
        <>
          <p>{t('set_consequence', { site: name })}</p>
          <strong>{t('preview')}</strong>
          <Preview wanted={wanted} used={quota.used} enforced={plan.billing_enforcement} />
        </>
      }
      action={t('set_action', { limit: shown })}
      reason="none"
      fields={<Fields plan={plan} wanted={wanted} change={change} />}
      act={async ({ form }) => {
        const answer = await act.run({
          path: { ref: site },
          body: {
            monthly_limit: wanted.limit,
            soft_limit_enabled: wanted.soft,
            hard_cap_multiplier: wanted.multiplier,
            plan_tier: String(form.get('tier') ?? ''),
            billing_policy: form.get('policy') === 'by_kind' ? 'by_kind' : 'all',
          },
        });
        return t('set_result', { limit: formatCount(answer.plan.monthly_limit) });
      }}
      onClose={onClose}
    />
  );
}

function Preview({ wanted, used, enforced }: { wanted: Wanted; used: string; enforced: boolean }) {
  if (!isValid(wanted)) return <p role="status">{t('preview_invalid')}</p>;
  const { limit, soft, multiplier } = wanted;
  const over = BigInt(used) > BigInt(limit);
  const full = BigInt(used) >= BigInt(limit);
  const cap = capOf(limit, soft, multiplier);
  const counts = { used: formatCount(used), limit: formatCount(limit) };
  const share = projectedShare(used, limit);
  return (
    <p role="status">
      {over ? `✗ ${t('preview_over', counts)}` : `✓ ${t('preview_within', counts)}`}{' '}
      {full && !enforced && t('preview_off')}
      {full && enforced && BigInt(used) < BigInt(cap) && t('preview_overage', { cap: formatCount(cap) })}
      {full && enforced && BigInt(used) >= BigInt(cap) && t('preview_refused')}{' '}
      {!over && share !== undefined && t('preview_pace', { percent: formatPercent(share) })}
    </p>
  );
}

interface FieldsProps {
  plan: Plan;
  wanted: Wanted;
  change: (part: Partial<Wanted>) => void;
}

function Fields({ plan, wanted, change }: FieldsProps) {
  return (
    <>
      <Field label={t('field_limit')}>
        {(field) => (
          <input
            name="limit"
            inputMode="numeric"
            value={wanted.limit}
            onInput={(event) => change({ limit: event.currentTarget.value.trim() })}
            {...field}
          />
        )}
      </Field>
      <Field label={t('field_soft')}>
        {(field) => (
          <select
            name="soft"
            value={String(wanted.soft)}
            onChange={(event) => change({ soft: event.currentTarget.value === 'true' })}
            {...field}
          >
            <option value="false">{t('soft_no')}</option>
            <option value="true">{t('soft_yes')}</option>
          </select>
        )}
      </Field>
      <Field label={t('field_multiplier')} hint={t('multiplier_hint')}>
        {(field) => (
          <input
            name="multiplier"
            inputMode="decimal"
            value={wanted.multiplier}
            onInput={(event) => change({ multiplier: event.currentTarget.value.trim() })}
            {...field}
          />
        )}
      </Field>
      <Field label={t('field_tier')}>
        {(field) => <input name="tier" defaultValue={plan.plan_tier} maxLength={64} {...field} />}
      </Field>
      <Field label={t('field_policy')}>
        {(field) => (
          <select name="policy" defaultValue={plan.billing_policy} {...field}>
            <option value="all">{t('policy_all')}</option>
            <option value="by_kind">{t('policy_by_kind')}</option>
          </select>
        )}
      </Field>
    </>
  );
}
