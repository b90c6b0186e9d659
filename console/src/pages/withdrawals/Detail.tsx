// The whole of a withdrawal: what it is, what it does to the player's money, what to look at, and all that happened.
import { Link } from 'wouter';
import { type Answer, ApiError } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Id } from '../../parts/Copy.tsx';
import { Dialog } from '../../parts/Dialog.tsx';
import { Amount, Badge } from '../../parts/numbers.tsx';
import { Show } from '../../parts/states.tsx';
import { When } from '../../parts/When.tsx';
import { t as money } from '../../words/money.ts';
import { t } from '../../words/withdrawals.ts';
import { MovementBody } from '../money/Movement.tsx';
import { usePaths } from '../money/tenant.tsx';
import type { Action } from './ActionDialog.tsx';
import { Actions } from './Actions.tsx';
import { Attempts } from './Attempts.tsx';
import { amountOf, destinationOf, type Row, stateWord, tones } from './actions.ts';
import { Checks } from './Checks.tsx';
import { Money } from './Money.tsx';
import { Timeline } from './Timeline.tsx';

export type Whole = Answer<'GET /api/v1/finance/withdrawals/{id}'>;

interface DetailProps {
  id: string;
  tenant_id: string;
  start: (action: Action) => void;
  onClose: () => void;
}

export function Detail({ id, tenant_id, start, onClose }: DetailProps) {
  const read = useRead(
    'GET /api/v1/finance/withdrawals/{id}',
    { path: { id }, query: { tenant_id } },
    { live: true },
  );
  const row = read.answer?.transaction;
  const title = row ? t('detail_title', { amount: amountOf(row) }) : t('detail_waiting');
  const missing = read.error instanceof ApiError && read.error.code === 'TX_NOT_FOUND';
  return (
    <Dialog title={title} kind="side" onClose={onClose}>
      {missing ? (
        <Otherwise id={id} tenant_id={tenant_id} />
      ) : (
        <Show read={read}>{(answer) => <Found answer={answer} start={start} />}</Show>
      )}
    </Dialog>
  );
}

/** Search cannot tell a withdrawal from a movement of the books. */
function Otherwise({ id, tenant_id }: { id: string; tenant_id: string }) {
  const read = useRead('GET /api/admin/ledger/transfers/{id}', { path: { id }, query: { tenant_id } });
  return (
    <Show read={read}>
      {({ transfer }) => (
        <>
          <p>{t('not_withdrawal')}</p>
          <MovementBody transfer={transfer} />
        </>
      )}
    </Show>
  );
}

function Found({ answer, start }: { answer: Whole; start: (action: Action) => void }) {
  const row = answer.transaction;
  return (
    <div className="detail">
      <p>
        <Badge tone={tones[row.state]}>{stateWord(row.state)}</Badge>
      </p>
      {row.state === 'unknown' && <p className="consequence">{t('unknown_notice')}</p>}
      {row.state === 'payout_pending' && <p className="consequence">{t('pending_notice')}</p>}
      <div className="actions">
        <Actions row={row} start={start} />
      </div>
      <Facts row={row} />
      <h3>{t('money')}</h3>
      <Money row={row} />
      <h3>{t('checks')}</h3>
      <Checks row={row} />
      <h3>{t('timeline')}</h3>
      <Timeline answer={answer} />
      <h3>{t('attempts')}</h3>
      <Attempts attempts={answer.payout_attempts} />
      <p className="muted small">{t('four_eyes')}</p>
    </div>
  );
}

function Facts({ row }: { row: Row }) {
  const paths = usePaths();
  return (
    <dl className="pairs">
      <dt>{t('tx_id')}</dt>
      <dd>
        <Id value={row.id} what={t('tx_id')} />
      </dd>
      <dt>{money('player')}</dt>
      <dd>
        <Link href={paths.wallet(row.player_id, row.tenant_id)}>
          <code>{row.player_id}</code>
        </Link>
      </dd>
      <dt>{money('amount')}</dt>
      <dd>
        <Amount minor={row.amount_minor} currency={row.currency} />
      </dd>
      <dt>{t('destination')}</dt>
      <dd>{destinationOf(row)}</dd>
      <dt>{t('method')}</dt>
      <dd>{row.method}</dd>
      <dt>{t('created')}</dt>
      <dd>
        <When at={row.created_at} />
      </dd>
      {row.provider && (
        <>
          <dt>{t('provider')}</dt>
          <dd>{row.provider}</dd>
        </>
      )}
      {row.provider_ref && (
        <>
          <dt>{t('provider_ref')}</dt>
          <dd>
            <Id value={row.provider_ref} what={t('provider_ref')} />
          </dd>
        </>
      )}
    </dl>
  );
}
