// One backfill: what was asked for, how far it came, each of its items, and going on where it does not by itself.
import { useState } from 'react';
import { Link, useParams } from 'wouter';
import type { Migration, MigrationItem } from '../api/client.ts';
import { useAct, useList, useRead } from '../api/query.ts';
import { type Column, DataTable } from '../parts/DataTable.tsx';
import { ReasonDialog } from '../parts/Dialog.tsx';
import { Badge, Count, Progress, Stat, Stats, type Tone } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Show } from '../parts/states.tsx';
import { When } from '../parts/When.tsx';
import { formatCount } from '../words/format.ts';
import { t } from '../words/jobs.ts';
import { daysOf, migration_tones, totalOf } from './jobs/Backfills.tsx';
import '../styles/jobs.css';

const items_a_page = 50;

export default function Job() {
  const { id = '' } = useParams();
  const read = useRead(
    'GET /api/admin/dataMigrations/{id}',
    { path: { id }, query: { limit: 1 } },
    { live: true },
  );
  const migration = read.answer?.migration;
  return (
    <Page
      title={t('job_title', { id })}
      beside={migration && <Badge tone={migration_tones[migration.status]}>{t(migration.status)}</Badge>}
      as_of_ms={read.as_of_ms}
      actions={<Link href="/jobs">{t('all_jobs')}</Link>}
    >
      <Show read={read}>{({ migration: found }) => <Told migration={found} />}</Show>
      {migration && <Items id={id} wallets={migration.type === 'wallet_snapshots'} />}
    </Page>
  );
}

function Told({ migration }: { migration: Migration }) {
  const [resuming, setResuming] = useState(false);
  const { type, status, checkpoint, metadata } = migration;
  const wallets = type === 'wallet_snapshots';
  return (
    <>
      <Progress
        label={t('progress')}
        done={migration.processedCount}
        total={status === 'completed' ? migration.totalCount : totalOf(migration)}
      />
      {status === 'running' && <p>{t(wallets ? 'running_wallets' : 'running_events')}</p>}
      {status === 'failed' && (
        <p className="state state-failed">
          {migration.error} {t('failed_text')}
        </p>
      )}
      {status === 'running' && wallets && (
        <button type="button" className="primary" onClick={() => setResuming(true)}>
          {t('resume')}
        </button>
      )}
      {checkpoint && 'scanned' in checkpoint && <Tally tally={checkpoint} />}
      <section className="section card">
        <dl className="pairs">
          <dt>{t('type')}</dt>
          <dd>{t(type)}</dd>
          {!wallets && (
            <>
              <dt>{t('range')}</dt>
              <dd>{daysOf(migration)}</dd>
            </>
          )}
          <dt>{t('order')}</dt>
          <dd>{orderOf(metadata)}</dd>
          <dt>{t('checkpoint')}</dt>
          <dd>{placeOf(checkpoint)}</dd>
          <dt>{t('errors')}</dt>
          <dd>
            <Count value={migration.errorCount} />
          </dd>
          <dt>{t('started')}</dt>
          <dd>
            <When at={migration.createdAt} /> · {t('by')} <code>{migration.createdBy}</code>
          </dd>
          <dt>{t('updated')}</dt>
          <dd>
            <When at={migration.updatedAt} relative />
          </dd>
          <dt>{t('ended')}</dt>
          <dd>
            <When at={migration.completedAt} />
          </dd>
        </dl>
      </section>
      {resuming && <Resume migration={migration} onClose={() => setResuming(false)} />}
    </>
  );
}

type Tallied = Extract<NonNullable<Migration['checkpoint']>, { scanned: number }>;

function Tally({ tally }: { tally: Tallied }) {
  return (
    <section className="section">
      <Stats>
        {(['scanned', 'created', 'skipped_exists', 'updated_forced', 'errors'] as const).map((name) => (
          <Stat
            key={name}
            label={t(name)}
            value={<Count value={tally[name]} />}
            unit={t('wallets_unit')}
            tone={name === 'errors' && tally.errors > 0 ? 'bad' : 'plain'}
          />
        ))}
      </Stats>
    </section>
  );
}

function orderOf(metadata: Migration['metadata']): string {
  if ('maxEvents' in metadata) return `${t('max_events')}: ${formatCount(metadata.maxEvents)}`;
  return [
    `${t('tenant')}: ${metadata.tenant_id}`,
    metadata.force && t('forced_yes'),
    metadata.include_pending && t('pending_yes'),
    metadata.hash && t('bound'),
    metadata.confirmed && t('confirmed'),
  ]
    .filter(Boolean)
    .join(' · ');
}

function placeOf(checkpoint: Migration['checkpoint']): string {
  if (checkpoint && 'nth' in checkpoint) return t('checkpoint_event', { nth: formatCount(checkpoint.nth) });
  if (checkpoint?.player_id)
    return t('checkpoint_wallet', { player: checkpoint.player_id, currency: checkpoint.currency ?? '' });
  return t('checkpoint_none');
}

/** A takeover goes on call by call; this asks until it has ended. */
function Resume({ migration, onClose }: { migration: Migration; onClose: () => void }) {
  const act = useAct('POST /api/jobs/backfill-wallets');
  const { id, metadata, processedCount } = migration;
  if (!('tenant_id' in metadata)) return null;
  return (
    <ReasonDialog
      title={t('resume')}
      consequence={t('resume_consequence', { done: formatCount(processedCount) })}
      action={t('resume_action')}
      reason="none"
      act={async () => {
        const { tenant_id: tenantId, force, include_pending: includePending } = metadata;
        for (;;) {
          const answer = await act.run({ body: { tenantId, force, includePending, migrationId: id } });
          if (!('migrationId' in answer)) throw new Error('That was a dry run.');
          const { status, summary } = answer;
          if (status === 'running') continue;
          const done = formatCount(summary.created + summary.updated_forced);
          return t('started_done', { state: t(status), done, errors: formatCount(summary.errors) });
        }
      }}
      onClose={onClose}
    />
  );
}

function Items({ id, wallets }: { id: string; wallets: boolean }) {
  const list = useList(
    'GET /api/admin/dataMigrations/{id}',
    { path: { id }, query: { limit: items_a_page } },
    {
      rows: ({ migration }) => migration.items,
      next: ({ migration: { items } }) => (items.length === items_a_page ? items.at(-1)?.nth : null),
      live: true,
    },
  );
  return (
    <Section title={t('items')}>
      <DataTable
        caption={t('items_caption', { id })}
        columns={columns()}
        list={list}
        rowKey={({ nth }) => nth}
        nothing={t(wallets ? 'items_none_wallets' : 'items_none')}
        csv={`backfill-${id}`}
        rowTone={({ status }) => (status === 'dead' ? 'bad' : status === 'failed' ? 'warn' : undefined)}
      />
    </Section>
  );
}

const item_tones: Record<MigrationItem['status'], Tone> = {
  ...{ pending: 'plain', done: 'good', held: 'warn', failed: 'warn', dead: 'bad' },
};

function outcomeOf({ result, error }: MigrationItem): string {
  if (error) return error;
  if (!result) return '–';
  return result.outcome === 'held' ? t('held_outcome') : t(result.outcome);
}

function columns(): Column<MigrationItem>[] {
  return [
    {
      ...{ id: 'nth', header: t('nth'), names: true, align: 'end' },
      ...{ cell: (row) => <Count value={row.nth} />, text: (row) => row.nth },
    },
    { id: 'item', header: t('item'), cell: (row) => <code>{row.item}</code>, text: (row) => row.item },
    {
      ...{ id: 'status', header: t('status'), text: (row) => row.status },
      cell: (row) => <Badge tone={item_tones[row.status]}>{t(row.status)}</Badge>,
    },
    { id: 'outcome', header: t('outcome'), cell: outcomeOf, text: outcomeOf },
    {
      ...{ id: 'attempts', header: t('attempts'), align: 'end', text: (row) => row.attempts },
      cell: (row) => <Count value={row.attempts} />,
    },
    {
      ...{ id: 'next', header: t('next_try'), text: (row) => row.next_attempt_at },
      cell: (row) => <When at={row.next_attempt_at} />,
    },
  ];
}
