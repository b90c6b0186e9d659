// The three changes of a flag, each naming its consequence: for everybody, for a tenant, and back from a tenant's own value.
import { useState } from 'react';
import type { Flag } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field, Select } from '../../parts/Field.tsx';
import { t } from '../../words/flags.ts';
import { stateOf, tenantState } from './state.ts';

interface ChangeProps {
  flag: Flag;
  onClose: () => void;
}
const percent_usual = 10;

export function ChangeFlag({ flag, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/flags/{flag}');
  const { flag: name, value, rollout_percent, overrides } = flag;
  const now = !value ? 'off' : rollout_percent === null ? 'on' : 'percent';
  const [to, setTo] = useState(now === 'on' ? 'off' : 'on');
  const own = Object.keys(overrides).length;
  return (
    <ReasonDialog
      title={t('change_title', { flag: name })}
      consequence={
        <>
          <p>{t('change_consequence', { now: stateOf(flag) })}</p>
          {own > 0 && <p>{t('change_overrides', { n: own })}</p>}
        </>
      }
      action={t('change_action', { flag: name })}
      reason="none"
      fields={
        <>
          <Select
            label={t('value')}
            name="to"
            value={to}
            options={(['on', 'percent', 'off'] as const).map((one) => ({
              value: one,
              label: t(`value_${one}`),
            }))}
            onChange={setTo}
          />
          {to === 'percent' && (
            <Field label={t('percent')} hint={t('percent_hint')}>
              {(field) => (
                <input
                  type="number"
                  name="percent"
                  min={0}
                  max={100}
                  step={1}
                  defaultValue={rollout_percent ?? percent_usual}
                  {...field}
                />
              )}
            </Field>
          )}
        </>
      }
      act={async ({ form }) => {
        const percent = Number(form.get('percent') ?? Number.NaN);
        if (to === 'percent' && !(Number.isInteger(percent) && percent >= 0 && percent <= 100))
          throw new Error(t('percent_bad'));
        const body = { value: to !== 'off', ...(to === 'percent' && { percent }) };
        const { flag: changed } = await act.run({ path: { flag: name }, body });
        return t('changed', { flag: name, now: stateOf(changed) });
      }}
      onClose={onClose}
    />
  );
}

export function SetForTenant({ flag, onClose }: ChangeProps) {
  const act = useAct('PUT /api/admin/flags/{flag}');
  const { flag: name } = flag;
  return (
    <ReasonDialog
      title={t('override_title', { flag: name })}
      consequence={t('override_consequence', { now: stateOf(flag) })}
      action={t('override_action')}
      reason="none"
      fields={
        <>
          <Field label={t('tenant')}>
            {(field) => <input name="tenant" required autoComplete="off" {...field} />}
          </Field>
          <Select
            label={t('value_tenant')}
            name="value"
            value={flag.value ? 'off' : 'on'}
            options={[
              { value: 'on', label: t('on_tenant') },
              { value: 'off', label: t('off_tenant') },
            ]}
          />
        </>
      }
      act={async ({ form }) => {
        const tenant = String(form.get('tenant') ?? '').trim();
        if (!/^[A-Za-z0-9_.:-]{1,64}$/.test(tenant)) throw new Error(t('tenant_bad'));
        const value = form.get('value') === 'on';
        await act.run({ path: { flag: name }, body: { value, tenant_id: tenant } });
        return t('changed_tenant', { flag: name, value: tenantState(value), tenant });
      }}
      onClose={onClose}
    />
  );
}

export function RemoveOverride({ flag, tenant, onClose }: ChangeProps & { tenant: string }) {
  const act = useAct('PUT /api/admin/flags/{flag}');
  return (
    <ReasonDialog
      title={t('remove_of', { tenant })}
      consequence={t('remove_consequence', {
        ...{ tenant, now: stateOf(flag) },
        value: tenantState(flag.overrides[tenant] ?? null),
      })}
      action={t('remove_action', { tenant })}
      danger
      reason="none"
      act={async () => {
        await act.run({ path: { flag: flag.flag }, body: { value: null, tenant_id: tenant } });
        return t('removed', { tenant });
      }}
      onClose={onClose}
    />
  );
}
