// The export itself: waits while it is built, verifies the file where the page holds it, and hands it over.
import { useCallback, useEffect, useRef, useState } from 'react';
import { Id } from '../../parts/Copy.tsx';
import { download } from '../../parts/Csv.tsx';
import { Progress } from '../../parts/numbers.tsx';
import { Loading, RequestId, sentence } from '../../parts/states.tsx';
import { t } from '../../words/dispute.ts';
import { formatCount } from '../../words/format.ts';
import { commandOf, type Outcome, requestExport } from './request.ts';

interface ExportingProps {
  ref_: string;
  month: string;
  back: () => void;
}
type State = { outcome?: Outcome; error?: Error; waiting: boolean };

export function Exporting({ ref_: ref, month, back }: ExportingProps) {
  const { state, start, stop } = useExport(ref, month);
  const { outcome, error, waiting } = state;
  return (
    <>
      <div role="status">
        {waiting && !outcome && <Loading />}
        {outcome?.kind === 'building' && <Building outcome={outcome} waiting={waiting} />}
        {outcome && outcome.kind !== 'building' && <Made outcome={outcome} />}
      </div>
      {error && (
        <div className="state state-failed" role="alert">
          <p>{t('failed', { error: sentence(error) })}</p>
          <RequestId of={error} />
        </div>
      )}
      <div className="actions section">
        {waiting ? (
          <button type="button" onClick={stop}>
            {t('stop_waiting')}
          </button>
        ) : (
          <button type="button" onClick={start}>
            {t(outcome?.kind === 'building' ? 'go_on' : 'again')}
          </button>
        )}
        <button type="button" onClick={back}>
          {t('to_scope')}
        </button>
      </div>
    </>
  );
}

/** Asks until it is made, somebody stops waiting, or it is refused. */
function useExport(site: string, month: string) {
  const [state, setState] = useState<State>({ waiting: true });
  const stopping = useRef(new AbortController());
  const begun = useRef<string | undefined>(undefined);
  const start = useCallback(async () => {
    stopping.current.abort();
    stopping.current = new AbortController();
    const { signal } = stopping.current;
    setState(({ outcome }) => ({ waiting: true, ...(outcome?.kind === 'building' && { outcome }) }));
    try {
      for (;;) {
        const outcome = await requestExport({ site, month, export_id: begun.current }, signal);
        const building = outcome.kind === 'building';
        begun.current = building ? outcome.export_id : undefined;
        if (signal.aborted) return;
        setState({ outcome, waiting: building });
        if (!building) return;
        await pause(outcome.retry_after_s * 1000, signal);
      }
    } catch (error) {
      if (!signal.aborted) setState({ waiting: false, error: error as Error });
    }
  }, [site, month]);
  const stop = () => {
    stopping.current.abort();
    setState(({ outcome }) => ({ waiting: false, ...(outcome && { outcome }) }));
  };
  useEffect(() => {
    void start();
    return () => stopping.current.abort();
  }, [start]);
  return { state, start: () => void start(), stop };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

type Of<Kind extends Outcome['kind']> = Extract<Outcome, { kind: Kind }>;

function Building({ outcome, waiting }: { outcome: Of<'building'>; waiting: boolean }) {
  const { export_id: id, rows_done, row_count } = outcome;
  return (
    <div className="state">
      <p>{t(waiting ? 'building_text' : 'stopped', { id })}</p>
      <Progress label={t('building')} done={rows_done} total={row_count} />
    </div>
  );
}

function Made({ outcome }: { outcome: Exclude<Outcome, { kind: 'building' }> }) {
  if (outcome.kind === 'inline') return <Inline outcome={outcome} />;
  if (outcome.kind === 'link') return <Links outcome={outcome} />;
  const command = commandOf(outcome.url);
  return (
    <div className="state state-good">
      <p>{t('ready')}</p>
      <p>{t('ready_command')}</p>
      <Id value={command} what={t('command')} />
    </div>
  );
}

function Inline({ outcome }: { outcome: Of<'inline'> }) {
  const { csv, name, rows, expected, found } = outcome;
  const good = expected === found;
  return (
    <div className={`verdict state ${good ? 'state-good' : 'state-failed'}`}>
      <p>{t('inline_done', { bytes: formatCount(csv.byteLength), rows: formatCount(rows) })}</p>
      <p>
        {t('export_hash')}: <Id value={found} what={t('export_hash')} />
      </p>
      <p>{good ? `✓ ${t('verified')}` : `✗ ${t('not_verified', { found, expected })}`}</p>
      <button type="button" className="primary" onClick={() => download(name, csv, 'text/csv')}>
        {t('save', { name })}
      </button>
    </div>
  );
}

function Links({ outcome }: { outcome: Of<'link'> }) {
  const { url, manifest_url, name, hash, expires_s } = outcome;
  return (
    <div className="verdict state state-good">
      <p>{t('ready')}</p>
      {hash && (
        <p>
          {t('export_hash')}: <Id value={hash} what={t('export_hash')} />
        </p>
      )}
      <p>{t('ready_link', { minutes: Math.floor(expires_s / 60), name })}</p>
      <div className="actions">
        <a href={url} rel="noreferrer" download={name}>
          {t('download')}
        </a>
        <a href={manifest_url} rel="noreferrer" target="_blank">
          {t('manifest')}
        </a>
      </div>
    </div>
  );
}
