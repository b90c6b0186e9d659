// Has the overage of a site's invoices charged to its wallet from this month on, at a price, or not any more.
import { useState } from 'react';
import { useAct, useRead } from '../../api/query.ts';
import { ReasonDialog } from '../../parts/Dialog.tsx';
import { Field } from '../../parts/Field.tsx';
import { Show } from '../../parts/states.tsx';
import { formatMonth } from '../../words/format.ts';
import { t } from '../../words/plans.ts';
import type { ChangeProps } from './PlanDrawer.tsx';

type Terms = { currency: string | null; overage_price_per_1k: string | null };

export function Settle({ site, ...rest }: ChangeProps) {
  const read = useRead('GET /api/admin/sites/{ref}/settlement', { path: { ref: site } });
  return <Show read={read}>{({ settlement }) => <Dialog {...rest} site={site} terms={settlement} />}</Show>;
}

function Dialog({ site, name, terms, onClose }: ChangeProps & { terms: Terms }) {
  const act = useAct('PUT /api/admin/sites/{ref}/settlement');
  const [charged, setCharged] = useState(true);
  const [price, setPrice] = useState(terms.overage_price_per_1k ?? '');
  const [currency, setCurrency] = useState(terms.currency ?? '');
  const of = { price: price || '?', currency: currency || '?', site: name };
  return (
    <ReasonDialog
      title={`${t('settle')}: ${name}`}
      consequence={t(charged ? 'settle_consequence' : 'settle_end_consequence', of)}
      action={charged ? t('settle_action', of) : t('settle_end_action')}
      danger={!charged}
      reason="none"
      fields={
        <>
          <Field label={t('settlement')}>
            {(field) => (
              <select
                value={String(charged)}
                onChange={(event) => setCharged(event.currentTarget.value === 'true')}
                {...field}
              >
                <option value="true">{t('yes')}</option>
                <option value="false">{t('no')}</option>
              </select>
            )}
          </Field>
          {charged && (
            <>
              <Text label={t('field_price')} hint={t('price_hint')} value={price} change={setPrice} />
              <Text
                label={t('field_currency')}
                value={currency}
                change={(typed) => setCurrency(typed.toUpperCase())}
              />
            </>
          )}
        </>
      }
      act={async () => {
        const body = charged ? { currency, overage_price_per_1k: price } : { currency: null };
        const { settlement: now } = await act.run({ path: { ref: site }, body });
        return now.from && now.currency
          ? t('settle_result', { ...of, month: formatMonth(now.from) })
          : t('settle_end_result');
      }}
      onClose={onClose}
    />
  );
}

interface TextProps {
  label: string;
  hint?: string;
  value: string;
  change: (typed: string) => void;
}

function Text({ label, hint, value, change }: TextProps) {
  return (
    <Field label={label} {...(hint && { hint })}>
      {(field) => (
        <input value={value} onInput={(event) => change(event.currentTarget.value.trim())} {...field} />
      )}
    </Field>
  );
}
