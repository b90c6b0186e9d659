// Raises a limit for a while, ends that, and switches the quotas of a site on or off; each with a reason.
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field } from '../../parts/Field.tsx';
import { formatCount, formatInstant } from '../../words/format.ts';
import { t } from '../../words/plans.ts';
import type { ChangeProps } from './PlanDrawer.tsx';

const day_ms = 86_400_000;
const unblock_usual = 50_000n;

/** As a field for date and time takes it: "2026-11-22T14:00". */
const field_time = (at_ms: number) => new Date(at_ms).toISOString().slice(0, 16);

export function Unblock({ site, name, plan, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/sites/{ref}/unblock');
  const twice = 2n * BigInt(plan.monthly_limit);
  return (
    <ReasonDialog
      title={`${t('unblock')}: ${name}`}
      consequence={t('unblock_consequence', { site: name })}
      action={t('unblock_action', { site: name })}
      fields={
        <>
          <Field label={t('field_until')} hint={t('until_hint')}>
            {(field) => (
              <input
                type="datetime-local"
                name="until"
                defaultValue={field_time(Date.now() + day_ms)}
                {...field}
              />
            )}
          </Field>
          <Field label={t('field_unblock_limit')}>
            {(field) => (
              <input
                name="limit"
                inputMode="numeric"
                defaultValue={String(twice > unblock_usual ? twice : unblock_usual)}
                {...field}
              />
            )}
          </Field>
        </>
      }
      act={async ({ reason, form }) => {
        const until = Date.parse(`${String(form.get('until'))}:00Z`);
        if (Number.isNaN(until)) throw new Error(t('until_invalid'));
        const body = {
          until: new Date(until).toISOString(),
          limit: String(form.get('limit')).trim(),
          reason,
        };
        const { plan: now } = await act.run({ path: { ref: site }, body });
        const { monthly_limit = plan.monthly_limit, until: end = body.until } = now.unblock ?? {};
        return t('unblock_result', { limit: formatCount(monthly_limit), when: formatInstant(end) });
      }}
      onClose={onClose}
    />
  );
}

export function EndUnblock({ site, name, plan, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/sites/{ref}/unblock');
  return (
    <ReasonDialog
      title={`${t('unblock_end')}: ${name}`}
      consequence={t('unblock_end_consequence', { site: name, limit: formatCount(plan.monthly_limit) })}
      action={t('unblock_end')}
      danger
      act={async ({ reason }) => {
        await act.run({ path: { ref: site }, body: { until: null, reason } });
        return t('unblock_end_result');
      }}
      onClose={onClose}
    />
  );
}

export function Enforcement({ site, name, plan, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/sites/{ref}/enforcement');
  const enforced = !plan.billing_enforcement;
  const action = t(enforced ? 'enforce_on' : 'enforce_off');
  return (
    <ReasonDialog
      title={`${action}: ${name}`}
      consequence={t(enforced ? 'on_consequence' : 'off_consequence', { site: name })}
      action={action}
      danger={!enforced}
      act={async ({ reason }) => {
        const answer = await act.run({ path: { ref: site }, body: { enforced, reason } });
        return t(answer.plan.billing_enforcement ? 'enforcement_result_on' : 'enforcement_result_off');
      }}
      onClose={onClose}
    />
  );
}
