// The plan of one site: what is in force, what changes it, what overage cost, and what was changed before.
import { useState } from 'react';
import { Link } from 'wouter';
import type { PlanInForce, Quota } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Dialog } from '../../parts/Dialog.tsx';
import { Amount } from '../../parts/numbers.tsx';
import { Show } from '../../parts/states.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { formatCount, formatMonth } from '../../words/format.ts';
import { t } from '../../words/plans.ts';
import { PlanPairs } from '../site/PlanCard.tsx';
import type { SiteRow } from '../sites/own.ts';
import { EndUnblock, Enforcement, Unblock } from './changes.tsx';
import { History } from './History.tsx';
import { SettlementOf } from './PlansTable.tsx';
import { SetPlan } from './SetPlan.tsx';
import { Settle } from './Settle.tsx';

interface PlanDrawerProps {
  site: string;
  row: SiteRow | undefined;
  onClose: () => void;
}

export function PlanDrawer({ site, row, onClose }: PlanDrawerProps) {
  const admin = has(useViewer(), 'platform-admin');
  const path = { path: { ref: site } };
  const plan = useRead('GET /api/sites/{ref}/plan', path);
  const quota = useRead('GET /api/sites/{ref}/quota', path);
  const name = row?.name ?? site;
  const id = quota.answer?.quota.site_id;
  return (
    <Dialog title={t('open', { site: name })} kind="side" onClose={onClose}>
      <p>
        <Link href={`/sites/${encodeURIComponent(site)}`}>{t('to_site')}</Link>
      </p>
      <Show read={plan}>
        {(answer) => (
          <>
            <PlanPairs plan={answer.plan} />
            <Show read={quota}>
              {({ quota: now }) => (
                <>
                  <p className="plan-usage">
                    {t('usage_now', { used: formatCount(now.used), limit: formatCount(now.limit) })}
                  </p>
                  {admin && <Changes site={site} name={name} plan={answer.plan} quota={now} />}
                </>
              )}
            </Show>
          </>
        )}
      </Show>
      {admin && <Settled site={site} />}
      {admin && id && (
        <>
          <h3>{t('history')}</h3>
          <History names={new Map([[id, name]])} site={id} />
        </>
      )}
    </Dialog>
  );
}

export interface ChangeProps {
  site: string;
  name: string;
  plan: PlanInForce;
  quota: Quota;
  onClose: () => void;
}

const changes = { set: SetPlan, unblock: Unblock, end: EndUnblock, enforcement: Enforcement, settle: Settle };

function Changes(props: Omit<ChangeProps, 'onClose'>) {
  const [open, setOpen] = useState<keyof typeof changes>();
  const { unblock, billing_enforcement } = props.plan;
  const Change = open && changes[open];
  const button = (change: keyof typeof changes, label: string) => (
    <button type="button" onClick={() => setOpen(change)}>
      {label}
    </button>
  );
  return (
    <>
      <h3>{t('actions')}</h3>
      <div className="actions">
        {button('set', t('set_plan'))}
        {button('unblock', t('unblock'))}
        {unblock && button('end', t('unblock_end'))}
        {button('enforcement', t(billing_enforcement ? 'enforce_off' : 'enforce_on'))}
        {button('settle', t('settle'))}
      </div>
      {Change && <Change {...props} onClose={() => setOpen(undefined)} />}
    </>
  );
}

function Settled({ site }: { site: string }) {
  const read = useRead('GET /api/admin/sites/{ref}/settlement', { path: { ref: site } });
  return (
    <>
      <h3>{t('settlement')}</h3>
      <p>
        <SettlementOf site={site} />
      </p>
      <Show read={read}>
        {({ settlement: { settled } }) =>
          settled.length === 0 ? (
            <p className="muted">{t('settled_none')}</p>
          ) : (
            <dl className="pairs" aria-label={t('settled')}>
              {settled.map(({ year_month, amount_minor, currency, overage_count }) => (
                <div className="pair" key={year_month}>
                  <dt>{formatMonth(year_month)}</dt>
                  <dd>
                    <Amount minor={amount_minor} currency={currency} /> · {formatCount(overage_count)}{' '}
                    {t('events_unit')}
                  </dd>
                </div>
              ))}
            </dl>
          )
        }
      </Show>
    </>
  );
}
