// Applies missed events of providers: the order, its dry run with what each event would do, then the real run.
import { useState } from 'react';
import { Link } from 'wouter';
import type { NewBackfill, PlannedEvent } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { DataTable } from '../../parts/DataTable.tsx';
import { Field, Select } from '../../parts/Field.tsx';
import { listOf } from '../../parts/rows.ts';
import { When } from '../../parts/When.tsx';
import { formatCount, formatDay } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';
import { DryRunDialog } from './DryRunDialog.tsx';

type Order = Required<NewBackfill>;
interface Plan {
  order: Order;
  plan: readonly PlannedEvent[];
  total: number;
  errors: number;
}
const events_usual = 1_000;

export function EventsDialog({ onClose }: { onClose: () => void }) {
  const [type, setType] = useState<Order['type']>('webhook_replay');
  const act = useAct('POST /api/jobs/backfill');
  return (
    <DryRunDialog<Plan>
      title={t('start_events')}
      fields={<Fields type={type} setType={setType} />}
      dryRun={async (form) => {
        const order = orderOf(form, type);
        const answer = await act.run({ body: { ...order, dryRun: true } });
        if (!('dry_run' in answer)) throw new Error('That was no dry run.');
        return {
          order,
          plan: answer.plan,
          total: answer.results.total,
          errors: answer.results.errors,
        };
      }}
      show={(plan) => <Planned {...plan} />}
      applies={({ total, errors }) => total > errors}
      consequence={({ order, total, errors }) =>
        t('run_events_consequence', {
          n: total - errors,
          from: formatDay(order.startDate),
          to: formatDay(order.endDate),
        })
      }
      action={({ total, errors }) => t('run_events', { n: total - errors })}
      run={async ({ order }) => {
        const answer = await act.run({ body: { ...order, dryRun: false } });
        if (!('status' in answer)) throw new Error('That was a dry run.');
        const { status, results } = answer;
        const done = formatCount(results.processed);
        return (
          <>
            <p>
              {status === 'running'
                ? t('started_running', { done })
                : t('started_done', { state: t(status), done, errors: formatCount(results.errors) })}
            </p>
            <Link href={`/jobs/${encodeURIComponent(results.migrationId)}`}>
              {t('open', { id: results.migrationId })}
            </Link>
          </>
        );
      }}
      onClose={onClose}
    />
  );
}

function orderOf(form: FormData, type: Order['type']): Order {
  const text = (name: string) => String(form.get(name) ?? '');
  return {
    ...{ type, startDate: text('startDate'), endDate: text('endDate'), dryRun: true },
    maxEvents: Number(text('maxEvents')) || events_usual,
  };
}

function Fields({ type, setType }: { type: Order['type']; setType: (type: Order['type']) => void }) {
  const today = new Date().toISOString().slice(0, 10);
  return (
    <>
      <Select
        label={t('type')}
        name="type"
        value={type}
        options={(['webhook_replay', 'reversal_backfill'] as const).map((value) => ({
          ...{ value, label: t(value) },
        }))}
        onChange={(value) => setType(value as Order['type'])}
      />
      <div className="row-fields">
        <Field label={t('from')}>
          {(field) => <input type="date" name="startDate" defaultValue={today} required {...field} />}
        </Field>
        <Field label={t('to')}>
          {(field) => <input type="date" name="endDate" defaultValue={today} required {...field} />}
        </Field>
        <Field label={t('max_events')}>
          {(field) => (
            <input
              type="number"
              name="maxEvents"
              min={1}
              max={100_000}
              defaultValue={events_usual}
              {...field}
            />
          )}
        </Field>
      </div>
    </>
  );
}

function Planned({ plan, total, errors }: Plan) {
  if (total === 0) return <p>{t('dry_nothing')}</p>;
  return (
    <>
      <p>{t('dry_events', { n: total - errors, errors: formatCount(errors) })}</p>
      <DataTable<PlannedEvent>
        caption={t('plan_caption')}
        columns={[
          {
            ...{ id: 'event', header: t('event'), names: true, text: (row) => row.event_id },
            cell: (row) => (
              <>
                <code>{row.event_id}</code> <span className="muted">{row.type}</span>
              </>
            ),
          },
          {
            ...{ id: 'at', header: t('occurred'), text: (row) => row.occurred_at },
            cell: (row) => <When at={row.occurred_at} />,
          },
          {
            ...{ id: 'action', header: t('action'), text: (row) => row.error ?? row.action },
            cell: (row) => row.error ?? (row.action ? t(row.action) : '–'),
          },
          {
            ...{ id: 'steps', header: t('steps'), text: (row) => JSON.stringify(row.steps ?? []) },
            cell: (row) => <Steps steps={row.steps ?? []} />,
          },
        ]}
        list={listOf(plan)}
        rowKey={(row) => row.event_id}
        csv="dry-run"
        rowTone={(row) => (row.error ? 'bad' : undefined)}
      />
    </>
  );
}

function Steps({ steps }: { steps: NonNullable<PlannedEvent['steps']> }) {
  return (
    <ul className="plain">
      {steps.map((step, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the steps do not move
        <li key={index}>
          <code>{step.action}</code> {step.product_id} {step.quantity && `× ${formatCount(step.quantity)}`}{' '}
          {step.amount_minor && `${formatCount(step.amount_minor)} ${step.currency ?? ''}`}
        </li>
      ))}
    </ul>
  );
}
