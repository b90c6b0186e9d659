// Takes the balances of the system before over: the order, its dry run with its hash, then the real run bound to that hash.
import { Link } from 'wouter';
import { useAct } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { Field } from '../../parts/Field.tsx';
import { formatCount } from '../../words/format.ts';
import { t } from '../../words/jobs.ts';
import { DryRunDialog } from './DryRunDialog.tsx';

interface Order {
  tenantId: string;
  force: boolean;
  includePending: boolean;
}
interface Plan {
  order: Order;
  scanned: string;
  created: string;
  skipped_exists: string;
  updated_forced: string;
  errors: string;
  hash: string;
}

export function WalletsDialog({ onClose }: { onClose: () => void }) {
  const act = useAct('POST /api/jobs/backfill-wallets');
  return (
    <DryRunDialog<Plan>
      title={t('start_wallets')}
      fields={<Fields />}
      dryRun={async (form) => {
        const order = {
          tenantId: String(form.get('tenantId') ?? '').trim() || 'default',
          force: form.has('force'),
          includePending: form.has('includePending'),
        };
        const answer = await act.run({ body: { ...order, dryRun: true } });
        if (!('dry_run' in answer)) throw new Error('That was no dry run.');
        return { order, ...answer.summary };
      }}
      show={(plan) => <Planned {...plan} />}
      applies={(plan) => changes(plan) > 0n}
      consequence={({ order, created, updated_forced }) => (
        <>
          {t('run_wallets_consequence', {
            created: formatCount(created),
            tenant: order.tenantId,
            forced: formatCount(updated_forced),
          })}{' '}
          {order.force && t('run_wallets_bound')}
        </>
      )}
      action={(plan) => t('run_wallets', { n: formatCount(changes(plan)) })}
      run={async ({ order, hash }) => {
        const answer = await act.run({ body: { ...order, hash } });
        if (!('migrationId' in answer)) throw new Error('That was a dry run.');
        const { migrationId: id, status, summary } = answer;
        const done = formatCount(summary.created + summary.updated_forced);
        return (
          <>
            <p>
              {status === 'running'
                ? t('started_wallets_running', { done })
                : t('started_done', { state: t(status), done, errors: formatCount(summary.errors) })}
            </p>
            <Link href={`/jobs/${encodeURIComponent(id)}`}>{t('open', { id })}</Link>
          </>
        );
      }}
      onClose={onClose}
    />
  );
}

const changes = ({ created, updated_forced }: Plan) => BigInt(created) + BigInt(updated_forced);

function Fields() {
  return (
    <>
      <Field label={t('tenant')}>
        {(field) => (
          <input
            name="tenantId"
            defaultValue="default"
            pattern="[A-Za-z0-9_.:\-]{1,64}"
            required
            {...field}
          />
        )}
      </Field>
      <label className="check">
        <input type="checkbox" name="includePending" />
        {t('include_pending')}
      </label>
      <label className="check">
        <input type="checkbox" name="force" />
        {t('force')}
      </label>
    </>
  );
}

function Planned(plan: Plan) {
  return (
    <>
      <p>
        {t('dry_wallets', {
          n: Number(plan.scanned),
          created: formatCount(plan.created),
          skipped: formatCount(plan.skipped_exists),
          forced: formatCount(plan.updated_forced),
          errors: formatCount(plan.errors),
        })}
      </p>
      <p>
        {t('hash_of_plan')}: <Id value={plan.hash} what={t('hash_of_plan')} />
      </p>
    </>
  );
}
