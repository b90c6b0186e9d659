// A movement of the books with both its legs, and what it reverses or reversed it.
import { Link } from 'wouter';
import type { Answer } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { Dialog } from '../../parts/Dialog.tsx';
import { Amount, Badge } from '../../parts/numbers.tsx';
import { Show } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { t as money, word } from '../../words/money.ts';
import { t } from '../../words/wallets.ts';
import { Person } from './Person.tsx';
import { usePaths } from './tenant.tsx';

export type Transfer = Answer<'GET /api/admin/ledger/transfers/{id}'>['transfer'];
type Entry = Transfer['entries'][number];

export const accountName = ({ kind, name }: { kind: string; name: string }) =>
  name ? `${word('account', kind)} ${name}` : word('account', kind);

/** What leaves stands under debit, what arrives under credit; each currency sums to zero. */
export function Legs({ transfer, here }: { transfer: Transfer; here?: string }) {
  const paths = usePaths();
  return (
    <table className="legs">
      <caption className="hidden">{t('legs_caption')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('account')}</th>
          <th scope="col" className="end">
            {t('debit')}
          </th>
          <th scope="col" className="end">
            {t('credit')}
          </th>
        </tr>
      </thead>
      <tbody>
        {transfer.entries.map((entry, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the entries of a movement never change
          <tr key={index}>
            <th scope="row">
              {entry.account_id === here ? (
                <strong>{accountName(entry)}</strong>
              ) : (
                <Link href={paths.account(entry.account_id, transfer.tenant_id)}>{accountName(entry)}</Link>
              )}
              {entry.owner_id && <span className="muted small"> {entry.owner_id.slice(0, 8)}…</span>}
            </th>
            <Leg entry={entry} sign={-1n} />
            <Leg entry={entry} sign={1n} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Leg({ entry, sign }: { entry: Entry; sign: bigint }) {
  const minor = BigInt(entry.amount_minor) * sign;
  return (
    <td className="end">
      {minor > 0n && <Amount minor={minor} currency={entry.currency} exponent={entry.exponent} />}
    </td>
  );
}

/** Where the reference of a movement leads: a withdrawal, or a finding that was corrected. */
export function Reference({ transfer }: { transfer: Transfer }) {
  const paths = usePaths();
  const { reference, kind, tenant_id } = transfer;
  if (!reference) return <span className="muted">–</span>;
  if (kind.startsWith('withdraw'))
    return <Link href={paths.withdrawal(reference, tenant_id)}>{t('of_withdrawal')}</Link>;
  if (kind === 'correction') return <Link href={`/findings/${reference}`}>{t('of_finding')}</Link>;
  return <Id value={reference} what={t('reference')} short />;
}

interface ReversalProps {
  transfer: Transfer;
  open?: (id: string) => void;
}

/** Corrections are only ever movements back: both are linked. */
export function Reversals({ transfer, open }: ReversalProps) {
  const link = (id: string) =>
    open ? (
      <button type="button" className="link" onClick={() => open(id)}>
        {id.slice(0, 8)}…
      </button>
    ) : (
      <code>{id}</code>
    );
  return (
    <>
      {transfer.reverses && (
        <span>
          <Badge tone="warn">{t('reverses')}</Badge> {link(transfer.reverses)}
        </span>
      )}
      {transfer.reversed_by.map((id) => (
        <span key={id}>
          <Badge tone="warn">{t('reversed_by')}</Badge> {link(id)}
        </span>
      ))}
    </>
  );
}

export function MovementBody({ transfer, open }: ReversalProps) {
  return (
    <>
      <dl className="pairs">
        <dt>{t('movement')}</dt>
        <dd>
          <Id value={transfer.id} what={t('movement')} />
        </dd>
        <dt>{t('kind')}</dt>
        <dd>{word('kind', transfer.kind)}</dd>
        <dt>{t('when')}</dt>
        <dd>
          <When at={transfer.event_at} />
        </dd>
        <dt>{t('reference')}</dt>
        <dd>
          <Reference transfer={transfer} />
        </dd>
        <dt>{t('who')}</dt>
        <dd>
          <Person id={transfer.actor} />
        </dd>
        {transfer.reason && (
          <>
            <dt>{t('why')}</dt>
            <dd>{transfer.reason}</dd>
          </>
        )}
        {transfer.provider && (
          <>
            <dt>{t('provider')}</dt>
            <dd>
              {transfer.provider} {transfer.provider_event_id && <code>{transfer.provider_event_id}</code>}
            </dd>
          </>
        )}
      </dl>
      <p className="reversals">
        <Reversals transfer={transfer} {...(open && { open })} />
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <section className="table-scroll" aria-label={t('legs')} tabIndex={0}>
        <Legs transfer={transfer} />
      </section>
      <p className="muted small">{t('legs_sum', { currency: currenciesOf(transfer) })}</p>
    </>
  );
}

const currenciesOf = ({ entries }: Transfer) =>
  [...new Set(entries.map(({ currency }) => currency))].join(', ') || money('any');

interface DialogProps {
  id: string;
  tenant_id: string;
  open: (id: string) => void;
  onClose: () => void;
}

export function MovementDialog({ id, tenant_id, open, onClose }: DialogProps) {
  const read = useRead('GET /api/admin/ledger/transfers/{id}', { path: { id }, query: { tenant_id } });
  return (
    <Dialog title={t('movement')} kind="side" onClose={onClose}>
      <Show read={read}>{({ transfer }) => <MovementBody transfer={transfer} open={open} />}</Show>
    </Dialog>
  );
}
