// Prove: this browser recounts every row of the month, and says proved, or which day differs and how.
import { useEffect, useRef, useState } from 'react';
import { Link } from 'wouter';
import type { InvoiceProof } from '../../api/client.ts';
import { DataTable } from '../../parts/DataTable.tsx';
import { Progress } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { RequestId, sentence } from '../../parts/states.tsx';
import type { Check, ComparedDay, Verdict } from '../../prove/judge.ts';
import { type Proving, prove } from '../../prove/prove.ts';
import { languageTag } from '../../shell/settings.ts';
import { formatCount, formatDay, formatMonth } from '../../words/format.ts';
import { t } from '../../words/invoices.ts';
import { t as shell } from '../../words/words.ts';
import { Same } from './Days.tsx';
import { invoicePath } from './figures.ts';

interface ProveProps {
  ref_: string;
  proof: InvoiceProof;
  verdict: Verdict | undefined;
  onVerdict: (verdict: Verdict | undefined) => void;
}

export function Prove({ ref_: ref, proof, verdict, onVerdict }: ProveProps) {
  const { run, cancel, state } = useProving(ref, proof, onVerdict);
  const total = proof.archive?.purged ? undefined : proof.seal?.row_count;
  const text = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    if (location.hash === '#prove') text.current?.scrollIntoView();
  }, []);
  return (
    <Section title={t('proof')}>
      <p id="prove" ref={text}>
        {t(proof.archive?.purged ? 'proof_text_archive' : 'proof_text')}
      </p>
      <div className="actions">
        <button type="button" className="primary" disabled={state.running} onClick={run}>
          {total === undefined ? t('prove') : t('prove_rows', { n: Number(total) })}
        </button>
        {state.running && (
          <button type="button" onClick={cancel}>
            {shell('cancel')}
          </button>
        )}
      </div>
      <div className="proof-foot">
        {state.running && <Progress label={t('proving')} done={state.rows} total={total ?? null} />}
        {state.canceled && (
          <p className="state" role="status">
            {t('canceled', { rows: formatCount(state.rows) })}
          </p>
        )}
        {state.error && (
          <div className="state state-failed" role="alert">
            <p>{t('failed', { error: sentence(state.error) })}</p>
            <RequestId of={state.error} />
          </div>
        )}
        {verdict && <Result ref_={ref} proof={proof} verdict={verdict} took_ms={state.took_ms} />}
      </div>
    </Section>
  );
}

interface State {
  running: boolean;
  rows: number;
  took_ms: number;
  canceled?: boolean;
  error?: Error;
}
const idle: State = { running: false, rows: 0, took_ms: 0 };

function useProving(ref: string, proof: InvoiceProof, onVerdict: ProveProps['onVerdict']) {
  const [state, setState] = useState(idle);
  const proving = useRef<Proving | undefined>(undefined);
  useEffect(() => () => proving.current?.cancel(), []); // whoever leaves the page no longer waits for it
  const run = async () => {
    onVerdict(undefined);
    setState({ ...idle, running: true });
    const begun_ms = performance.now();
    proving.current = prove(ref, proof, (rows) => setState((old) => ({ ...old, rows })));
    try {
      onVerdict(await proving.current.verdict);
      setState((old) => ({ ...old, running: false, took_ms: performance.now() - begun_ms }));
    } catch (error) {
      const canceled = error instanceof DOMException && error.name === 'AbortError';
      setState(({ rows }) => ({
        ...{ running: false, rows, took_ms: 0 },
        ...(canceled ? { canceled } : { error: error as Error }),
      }));
    }
  };
  return { state, run: () => void run(), cancel: () => proving.current?.cancel() };
}

function Result(props: { ref_: string; proof: InvoiceProof; verdict: Verdict; took_ms: number }) {
  const { ref_: ref, proof, verdict, took_ms } = props;
  const { proved, rows, ledger_hash: hash, by } = verdict;
  const differing = verdict.days.filter(({ same }) => !same);
  const seconds = new Intl.NumberFormat(languageTag(), { maximumFractionDigits: 1 }).format(took_ms / 1000);
  const kernel = proof.hash_ok && proof.ledger_ok && proof.seal_ok;
  return (
    <>
      <div
        className={`verdict state ${proved ? 'state-good' : 'state-failed'}`}
        role={proved ? 'status' : 'alert'}
      >
        <h3>
          {proved
            ? `✓ ${t(by === 'archive' ? 'proved_archive' : 'proved', { rows: formatCount(rows), hash })}`
            : `✗ ${t('not_proved')}`}
        </h3>
        {!verdict.sealed && <p>{t('not_sealed_text')}</p>}
        {verdict.sealed && differing.length > 0 && (
          <p>
            {t('days_differ', {
              n: differing.length,
              days: differing.map(({ day }) => formatDay(day)).join(', '),
            })}
          </p>
        )}
        {proved && by === 'archive' && (
          <p>{t('proved_archive_text', { key: proof.archive?.object_key ?? '' })}</p>
        )}
        {by === 'rows' && <p>{t('took', { rows: formatCount(rows), seconds })}</p>}
        <p>{t(kernel === proved ? 'kernel_agrees' : 'kernel_denies')}</p>
        {proved && <p>{t('keep_hash')}</p>}
      </div>
      {verdict.sealed && differing.length > 0 && (
        <Where days={differing} path={invoicePath(ref, proof.year_month)} month={proof.year_month} />
      )}
      <Checks checks={verdict.checks} />
    </>
  );
}

function Where({ days, path, month }: { days: readonly ComparedDay[]; path: string; month: string }) {
  return (
    <>
      <p>{t('where_text')}</p>
      <DataTable<ComparedDay>
        caption={t('where_caption', { month: formatMonth(month) })}
        columns={[
          {
            ...{ id: 'day', header: t('day'), names: true, text: ({ day }) => day },
            cell: ({ day }) => (
              <Link href={`${path}?day=${day}`} className="nowrap">
                {t('rows_of', { day: formatDay(day) })}
              </Link>
            ),
          },
          { id: 'how', header: t('where'), cell: (day) => how(day), text: (day) => how(day) },
          {
            ...{ id: 'expected', header: t('expected'), text: ({ sealed }) => sealed?.hash },
            cell: ({ sealed }) => <code>{sealed?.hash ?? t('none')}</code>,
          },
          {
            ...{ id: 'found', header: t('found'), text: ({ found }) => found?.hash },
            cell: ({ found }) => <code>{found?.hash ?? t('none')}</code>,
          },
        ]}
        list={listOf(days)}
        rowKey={({ day }) => day}
        csv={`differences-${month}`}
        rowTone={() => 'bad'}
      />
    </>
  );
}

/** What the two sides of a day say of the difference. */
function how({ sealed, found }: ComparedDay): string {
  if (!sealed) return t('day_new');
  if (!found) return t('day_gone');
  const more = BigInt(found.rows) - BigInt(sealed.rows);
  if (more < 0n) return t('missing', { n: Number(-more) });
  if (more > 0n) return t('added', { n: Number(more) });
  if (found.billable !== sealed.billable)
    return t('verdict_changed', {
      sealed: formatCount(sealed.billable),
      found: formatCount(found.billable),
    });
  return t('changed');
}

function Checks({ checks }: { checks: readonly Check[] }) {
  const shown = (value: string) =>
    /^\d+$/.test(value) && value.length < 20 ? formatCount(value) : <code>{value || t('none')}</code>;
  return (
    <DataTable<Check>
      caption={t('checks_caption')}
      columns={[
        { id: 'what', header: t('what'), names: true, cell: ({ what }) => t(`what_${what}`) },
        { id: 'expected', header: t('expected'), cell: ({ expected }) => shown(expected) },
        { id: 'found', header: t('found'), cell: ({ found }) => shown(found) },
        { id: 'result', header: t('result'), cell: ({ ok }) => <Same same={ok} /> },
      ]}
      list={listOf(checks)}
      rowKey={({ what }) => what}
      rowTone={({ ok }) => (ok ? undefined : 'bad')}
    />
  );
}
