// A flag in full: its state, the tenants with a value of their own, its last changes, and what may be changed.
import { useState } from 'react';
import type { Flag } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Dialog } from '../../parts/Dialog.tsx';
import { Badge } from '../../parts/numbers.tsx';
import { listOf } from '../../parts/rows.ts';
import { Show } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/flags.ts';
import { ChangeFlag, RemoveOverride, SetForTenant } from './changes.tsx';
import { stateOf, tenantState, toneOf } from './state.ts';

type Doing = { what: 'change' | 'override' } | { what: 'remove'; tenant: string };

export function FlagDrawer({ name, onClose }: { name: string; onClose: () => void }) {
  const [doing, setDoing] = useState<Doing>();
  const read = useRead('GET /api/admin/flags/{flag}', { path: { flag: name } });
  const flag = read.answer?.flag;
  const done = () => setDoing(undefined);
  return (
    <Dialog title={name} kind="side" onClose={onClose}>
      <Show read={read}>{({ flag: found }) => <Shown flag={found} act={setDoing} />}</Show>
      {flag && doing?.what === 'change' && <ChangeFlag flag={flag} onClose={done} />}
      {flag && doing?.what === 'override' && <SetForTenant flag={flag} onClose={done} />}
      {flag && doing?.what === 'remove' && (
        <RemoveOverride flag={flag} tenant={doing.tenant} onClose={done} />
      )}
    </Dialog>
  );
}

function Shown({ flag, act }: { flag: Flag; act: (doing: Doing) => void }) {
  const overrides = Object.entries(flag.overrides).map(([tenant, value]) => ({ tenant, value }));
  return (
    <>
      <p>
        <Badge tone={toneOf(flag)}>{stateOf(flag)}</Badge> <span lang="en">{flag.description}</span>
      </p>
      <div className="actions">
        <button type="button" onClick={() => act({ what: 'change' })}>
          {t('change')}
        </button>
        <button type="button" onClick={() => act({ what: 'override' })}>
          {t('override')}
        </button>
      </div>
      <section className="section">
        <DataTable<(typeof overrides)[number]>
          caption={t('overrides_of')}
          columns={[
            {
              ...{ id: 'tenant', header: t('tenant'), names: true },
              cell: ({ tenant }) => <code>{tenant}</code>,
            },
            { id: 'value', header: t('state'), cell: ({ value }) => tenantState(value) },
            {
              ...{ id: 'remove', header: t('remove') },
              cell: ({ tenant }) => (
                <button
                  type="button"
                  className="link"
                  aria-label={t('remove_of', { tenant })}
                  onClick={() => act({ what: 'remove', tenant })}
                >
                  {t('remove')}
                </button>
              ),
            },
          ]}
          list={listOf(overrides)}
          rowKey={({ tenant }) => tenant}
          nothing={t('overrides_none')}
        />
      </section>
      <section className="section">
        <DataTable
          caption={t('history')}
          columns={historyColumns()}
          list={listOf(flag.history)}
          rowKey={(change) => JSON.stringify(change)}
          nothing={t('history_none')}
        />
      </section>
    </>
  );
}

type Change = Flag['history'][number];

function side(value: boolean | null | undefined, percent: number | null | undefined, change: Change): string {
  if (change.tenant_id !== undefined) return tenantState(value ?? null);
  return value === undefined || value === null ? '–' : stateOf({ value, rollout_percent: percent ?? null });
}

function historyColumns(): Column<Change>[] {
  return [
    { id: 'at', header: t('at'), names: true, cell: ({ at }) => <When at={at} /> },
    {
      ...{ id: 'scope', header: t('scope') },
      cell: ({ tenant_id, stage }) =>
        tenant_id ? <code>{tenant_id}</code> : stage ? t('of_stage', { stage }) : t('everybody'),
    },
    { id: 'from', header: t('from'), cell: (change) => side(change.from, change.from_percent, change) },
    { id: 'to', header: t('to'), cell: (change) => side(change.to, change.to_percent, change) },
    { id: 'by', header: t('by'), cell: ({ actor }) => <code>{actor ?? '–'}</code> },
  ];
}
