// The invoices of the last ended month: recomputed on demand, each with the page that proves it in the browser.
import { useState } from 'react';
import { Link } from 'wouter';
import { ApiError, call, type InvoiceProof } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { type Column, DataTable } from '../../parts/DataTable.tsx';
import { Badge, Count } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { listOf } from '../../parts/rows.ts';
import { Show, sentence } from '../../parts/states.tsx';
import { formatDay, formatMonth } from '../../words/format.ts';
import { t } from '../../words/overview.ts';
import { inTurns } from '../sites/own.ts';

interface FrozenSite {
  public_id: string;
  name: string;
  ledger: string | undefined;
}
type Proof = InvoiceProof | Error;

export function FrozenOfAll({ month }: { month: string }) {
  const read = useRead('GET /api/admin/usage', { query: { month, limit: 200 } });
  return (
    <Show read={read}>
      {({ sites }) => (
        <Frozen
          month={month}
          sites={sites
            .filter(({ usage }) => usage.ledger !== '0' || usage.event_count !== '0')
            .map(({ public_id, name, usage }) => ({ public_id, name, ledger: usage.ledger }))}
        />
      )}
    </Show>
  );
}

export function Frozen({ month, sites }: { month: string; sites: FrozenSite[] }) {
  const [proofs, setProofs] = useState<ReadonlyMap<string, Proof>>(new Map());
  const [running, setRunning] = useState(false);
  const named = formatMonth(month);
  const check = async () => {
    setRunning(true);
    await inTurns(sites, async ({ public_id }) => {
      const proof = await prove(public_id, month);
      setProofs((known) => new Map([...known, [public_id, proof]]));
    });
    setRunning(false);
  };
  const columns: Column<FrozenSite>[] = [
    { id: 'site', header: t('site'), names: true, cell: ({ name }) => name, sort: ({ name }) => name },
    {
      ...{ id: 'events', header: t('invoice_events'), unit: t('events'), align: 'end' },
      cell: ({ ledger }) => <Count value={ledger} />,
      sort: ({ ledger }) => (ledger === undefined ? null : BigInt(ledger)),
    },
    {
      ...{ id: 'proof', header: t('proof') },
      cell: ({ public_id }) => <Proven proof={proofs.get(public_id)} />,
    },
    {
      ...{ id: 'prove', header: t('prove') },
      cell: ({ public_id, name }) => (
        <Link
          href={`/sites/${encodeURIComponent(public_id)}/invoices/${month}`}
          aria-label={t('prove_site', { month: named, site: name })}
        >
          {t('prove')}
        </Link>
      ),
    },
  ];
  return (
    <div id="frozen">
      <Section
        title={t('frozen')}
        actions={
          <button type="button" disabled={running || sites.length === 0} onClick={() => void check()}>
            {running ? t('frozen_checking') : t('frozen_button', { month: named })}
          </button>
        }
      >
        <p className="muted">{t('frozen_text')}</p>
        <DataTable
          caption={t('frozen_caption', { month: named })}
          columns={columns}
          list={listOf(sites)}
          rowKey={({ public_id }) => public_id}
          rowTone={({ public_id }) => (isWrong(proofs.get(public_id)) ? 'bad' : undefined)}
          nothing={t('frozen_none', { month: named })}
        />
      </Section>
    </div>
  );
}

async function prove(ref: string, month: string): Promise<Proof> {
  try {
    return (await call('GET /api/sites/{ref}/invoices/{month}', { path: { ref, month } })).proof;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

const holds = (proof: InvoiceProof) => proof.hash_ok && proof.ledger_ok && proof.seal_ok;
const isWrong = (proof: Proof | undefined) => proof && !(proof instanceof Error) && !holds(proof);

function Proven({ proof }: { proof: Proof | undefined }) {
  if (!proof) return <span className="muted">{t('proof_open')}</span>;
  if (proof instanceof ApiError && proof.code === 'month_not_frozen')
    return <Badge tone="warn">{t('proof_unfrozen')}</Badge>;
  if (proof instanceof Error)
    return <Badge tone="warn">{t('proof_failed', { error: sentence(proof) })}</Badge>;
  if (holds(proof)) return <Badge tone="good">✓ {t('proof_good')}</Badge>;
  const days = (proof.changed_days ?? []).map((day) => formatDay(day)).join(', ');
  return (
    <>
      <Badge tone="bad">✗ {t('proof_bad')}</Badge> {days && t('proof_days', { days })}
    </>
  );
}
