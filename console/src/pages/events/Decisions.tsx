// The decisions on an event in order of time.
import type { ReactNode } from 'react';
import type { Receipt } from '../../api/client.ts';
import { t } from '../../words/events.ts';
import { formatMonth, formatRelative } from '../../words/format.ts';
import { Moment } from './Moment.tsx';
import { reasonWords, stateWords } from './row-words.ts';

interface Decision {
  /** Null is to come. */
  at: string | null;
  text: string;
  detail?: ReactNode;
}

export function Decisions({ receipt }: { receipt: Receipt }) {
  return (
    <>
      <h3>{t('decisions')}</h3>
      <ol className="decisions">
        {decisionsOf(receipt).map(({ at, text, detail }) => (
          <li key={`${at}${text}`}>
            <div className="muted small">
              <Moment at={at} />
            </div>
            {text}
            {detail && <div className="small">{detail}</div>}
          </li>
        ))}
      </ol>
    </>
  );
}

function decisionsOf({ ledger, rejections, conflicts, delivery, invoice }: Receipt): Decision[] {
  const month = formatMonth(ledger.year_month);
  const admitted: Decision = {
    at: ledger.created_at,
    text: t('admitted', {
      state: stateWords(ledger.billing_state),
      reason: ledger.billing_reason
        ? reasonWords(ledger.billing_reason)
        : t(ledger.billable ? 'billable' : 'not_billable'),
      month,
    }),
    detail: t(ledger.billable ? 'billable' : 'not_billable'),
  };
  return [
    ...rejections.map((one) => ({
      ...{ at: one.created_at, text: t('was_rejected', { month: formatMonth(one.year_month) }) },
    })),
    admitted,
    ...conflicts.map(({ seen_at, payload_hash, request_id }) => ({
      ...{ at: seen_at, text: t('was_conflict') },
      detail: (
        <code>{[payload_hash && `sha256 ${payload_hash}`, request_id].filter(Boolean).join(' · ')}</code>
      ),
    })),
    delivered(delivery),
    ...(invoice ? [{ at: invoice.frozen_at, text: t('was_frozen', { month }) }] : []),
  ].sort((a, b) => (a.at ?? '9').localeCompare(b.at ?? '9'));
}

function delivered(delivery: Receipt['delivery']): Decision {
  if (delivery.status === 'delivered') return { at: delivery.delivered_at, text: t('was_delivered') };
  if (delivery.status === 'removed') return { at: null, text: t('was_removed') };
  const { attempts, reason, next_attempt_at } = delivery;
  return {
    at: null,
    text: t(delivery.status === 'waiting' ? 'is_waiting' : 'is_failed', { n: attempts }),
    detail: [reason, next_attempt_at && t('next_try', { when: formatRelative(next_attempt_at) })]
      .filter(Boolean)
      .join(' · '),
  };
}
