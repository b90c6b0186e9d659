// A reconciliation at once: a dry run that writes nothing, and only then, of the same window, the real one.
import { useState } from 'react';
import { call } from '../../api/client.ts';
import { useAct } from '../../api/query.ts';
import { Dialog } from '../../parts/Dialog.tsx';
import { Select } from '../../parts/Field.tsx';
import { Badge } from '../../parts/numbers.tsx';
import { RequestId, sentence } from '../../parts/states.tsx';
import { t, typeWord } from '../../words/findings.ts';
import { inWords } from '../money/refusal.ts';
import { differencesOf, providers, type Run, statsOf, tones } from './kinds.ts';
import { TotalsOf } from './Totals.tsx';

const day_ms = 86_400_000;
/** A run may look at a month at most. */
const windows_days = ['1', '7', '31'] as const;
const ask_every_ms = 500;
const patience_ms = 60_000;
const reconcilable = providers.filter((provider) => provider !== 'wallet_ledger');

export function Reconcile({ tenant_id, onClose }: { tenant_id: string; onClose: () => void }) {
  const { start, running, dry, real, error } = useRuns(tenant_id);
  const [provider, setProvider] = useState<string>(reconcilable[0] ?? '');
  const [days, setDays] = useState<string>(windows_days[0]);
  // What was looked at is what is written down: another choice needs another dry run.
  const seen = dry?.status === 'completed' && dry.provider === provider && daysOf(dry) === days;
  return (
    <Dialog title={t('now_title')} onClose={onClose}>
      <div className="consequence">{t('now_text')}</div>
      <div className="filters">
        <Select
          label={t('provider')}
          name="provider"
          value={provider}
          options={reconcilable.map((value) => ({ value, label: value }))}
          onChange={setProvider}
        />
        <Select
          label={t('run_window')}
          name="days"
          value={days}
          options={windows_days.map((value) => ({ value, label: t('last_days', { n: Number(value) }) }))}
          onChange={setDays}
        />
      </div>
      {dry && !real && <Found run={dry} />}
      {real && <Done run={real} />}
      {running && <p role="status">{t('running')}</p>}
      {error && (
        <div className="state state-failed" role="alert">
          <p>{sentence(error)}</p>
          <RequestId of={error} />
        </div>
      )}
      <div className="actions">
        <button
          type="button"
          className={dry ? undefined : 'primary'}
          disabled={running}
          onClick={() => start(provider, days)}
        >
          {t('dry_start')}
        </button>
        {seen && !real && (
          <button
            type="button"
            className="primary"
            disabled={running}
            onClick={() => start(provider, days, dry)}
          >
            {t('real')}
          </button>
        )}
      </div>
    </Dialog>
  );
}

const daysOf = ({ window_start, window_end }: Run) =>
  String(Math.round((Date.parse(window_end) - Date.parse(window_start)) / day_ms));

/** The real run has the key of its dry run: however often it is clicked, it runs once. */
function useRuns(tenant_id: string) {
  const queue = useAct('POST /api/v1/reconciliation/runs');
  const [dry, setDry] = useState<Run>();
  const [real, setReal] = useState<Run>();
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<Error>();
  const start = async (provider: string, days: string, like?: Run) => {
    const dry_run = like === undefined;
    setRunning(true);
    setError(undefined);
    if (dry_run) setReal(undefined);
    const now = Date.now();
    const window_start = like?.window_start ?? new Date(now - Number(days) * day_ms).toISOString();
    const window_end = like?.window_end ?? new Date(now).toISOString();
    const idempotency_key = like ? `console-${like.id}` : crypto.randomUUID();
    const body = { provider, window_start, window_end, dry_run, idempotency_key };
    try {
      const { run } = await queue.run({ query: { tenant_id }, body });
      const ended = await untilEnded(run, tenant_id);
      if (dry_run) setDry(ended);
      else setReal(ended);
    } catch (refused) {
      setError(inWords(refused));
    }
    setRunning(false);
  };
  return {
    ...{ running, dry, real, error },
    start: (provider: string, days: string, like?: Run) => void start(provider, days, like),
  };
}

async function untilEnded(run: Run, tenant_id: string): Promise<Run> {
  const until = Date.now() + patience_ms;
  let now = run;
  while (now.status === 'queued' || now.status === 'running') {
    if (Date.now() > until) throw new Error(t('too_long'));
    await new Promise((resolve) => setTimeout(resolve, ask_every_ms));
    ({ run: now } = await call('GET /api/v1/reconciliation/runs/{id}', {
      path: { id: run.id },
      query: { tenant_id },
    }));
  }
  return now;
}

function NotCompleted({ run }: { run: Run }) {
  const values = { status: t(`run_${run.status}`), error: run.error?.message ?? '' };
  return (
    <div className="state state-failed" role="alert">
      {t('not_completed', values)}
    </div>
  );
}

function Found({ run }: { run: Run }) {
  if (run.status !== 'completed') return <NotCompleted run={run} />;
  const n = differencesOf(run);
  return (
    <div className="state" role="status">
      <p>
        <Badge>{t('run_dry')}</Badge> {n === 0n ? t('dry_none') : t('dry_found', { n })}
      </p>
      <TotalsOf run={run} />
      {n > 0n && (
        <ul aria-label={t('dry_list')}>
          {(statsOf(run).found ?? []).slice(0, 10).map((one) => (
            <li key={`${one.finding_type} ${one.provider_event_id}`}>
              <Badge tone={tones[one.severity]}>{one.severity}</Badge> {typeWord(one.finding_type)}{' '}
              <code>{one.provider_event_id}</code>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Done({ run }: { run: Run }) {
  if (run.status !== 'completed') return <NotCompleted run={run} />;
  const { new: fresh = '0', reopened = '0', resolved = '0' } = statsOf(run);
  return (
    <div className="state state-good" role="status">
      <p>{t('real_done', { fresh, reopened, resolved })}</p>
      <TotalsOf run={run} />
    </div>
  );
}
