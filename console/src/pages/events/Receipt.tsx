// Every decision taken on one event, its clocks, its key, its payload and the invoice that froze it.
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { ApiError, call, type Receipt as ReceiptAnswer } from '../../api/client.ts';
import { Id } from '../../parts/Copy.tsx';
import { Dialog } from '../../parts/Dialog.tsx';
import { Failed } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { has, useViewer } from '../../session/viewer.ts';
import { t } from '../../words/events.ts';
import { formatInstant, formatMonth } from '../../words/format.ts';
import { inTurns } from '../sites/own.ts';
import { Clocks } from './Clocks.tsx';
import { Decisions } from './Decisions.tsx';

interface Found {
  ref: string;
  receipt: ReceiptAnswer;
}
interface ReceiptProps {
  id: string;
  /** The site, or all that may have it. */
  refs: readonly string[];
  onClose: () => void;
}

export function Receipt({ id, refs, onClose }: ReceiptProps) {
  const query = useQuery({ queryKey: ['receipt', id, refs], queryFn: () => find(id, refs) });
  const { data, error } = query;
  return (
    <Dialog title={t('receipt')} kind="side" onClose={onClose}>
      <p>
        <Id value={id} what={t('event_id')} />
      </p>
      {error && <Failed error={error} retry={() => void query.refetch()} old={data !== undefined} />}
      {query.isLoading && <p role="status">{t('looking', { n: refs.length })}</p>}
      {data && <Answer {...data} />}
    </Dialog>
  );
}

/** An id does not say its site, so each is asked; that a site has none is no error while others are left. */
async function find(id: string, refs: readonly string[]): Promise<Found> {
  let refusal: unknown = new ApiError(404, 'receipt_not_found', t('not_found'));
  const answers = await inTurns(refs, async (ref) => {
    try {
      return {
        ref,
        receipt: await call('GET /api/sites/{ref}/events/{ingest_id}', { path: { ref, ingest_id: id } }),
      };
    } catch (error) {
      if (refs.length === 1 || !(error instanceof ApiError && error.status < 500)) refusal = error;
      return undefined;
    }
  });
  const found = answers.find((answer) => answer !== undefined);
  if (!found) throw refusal;
  return found;
}

function Answer({ ref, receipt }: Found) {
  const viewer = useViewer();
  const { ledger, delivery, invoice } = receipt;
  const sees = has(viewer, 'platform-admin') || has(viewer, 'billing:view', receipt.site_id);
  const month = formatMonth(ledger.year_month);
  return (
    <>
      <Decisions receipt={receipt} />
      <Clocks receipt={receipt} />
      <h3>{t('identity')}</h3>
      <Identity receipt={receipt} site={ref} />
      <h3>{t('invoice')}</h3>
      <p>
        {invoice === null
          ? t('invoice_none')
          : t('invoice_frozen', {
              when: formatInstant(invoice.frozen_at),
              hash: `${invoice.snapshot_hash.slice(0, 12)}…`,
            })}{' '}
        {invoice !== null && sees && (
          <Link href={`/sites/${encodeURIComponent(ref)}/invoices/${ledger.year_month}`}>
            {t('invoice_link', { month })}
          </Link>
        )}
      </p>
      <h3>{t('payload')}</h3>
      {delivery.status === 'removed' ? (
        <p className="muted">{t('payload_gone')}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        <pre tabIndex={0}>
          <code>{JSON.stringify(delivery.payload, null, 2)}</code>
        </pre>
      )}
    </>
  );
}

function Identity({ receipt, site }: { receipt: ReceiptAnswer; site: string }) {
  const { ledger, delivery } = receipt;
  const version = ([1, 2, 3] as const).find((one) => one === ledger.idempotency_version);
  return (
    <dl className="pairs">
      <dt>{t('site')}</dt>
      <dd>
        <Link href={`/sites/${encodeURIComponent(site)}`}>{site}</Link>
      </dd>
      <dt>{t('ledger_id')}</dt>
      <dd>
        <code>{ledger.id}</code>
      </dd>
      <dt>{t('key')}</dt>
      <dd>
        <code>{ledger.idempotency_key}</code>
      </dd>
      <dt>{t('version')}</dt>
      <dd>{version ? t(`version_${version}`) : ledger.idempotency_version}</dd>
      <dt>{t('known_until')}</dt>
      <dd>
        <When at={ledger.expires_at} />
      </dd>
      <dt>{t('hash')}</dt>
      <dd>{ledger.payload_hash ? <code>{ledger.payload_hash}</code> : t('no_hash')}</dd>
      {delivery.status !== 'removed' && delivery.request_id && (
        <>
          <dt>{t('request')}</dt>
          <dd>
            <code>{delivery.request_id}</code>
          </dd>
        </>
      )}
    </dl>
  );
}
