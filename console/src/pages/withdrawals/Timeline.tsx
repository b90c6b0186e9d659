// All that happened to a withdrawal, in order of time, with who did it and why.
import type { ReactNode } from 'react';
import { When } from '../../parts/When.tsx';
import { t } from '../../words/withdrawals.ts';
import { Person } from '../money/Person.tsx';
import { stateWord } from './actions.ts';
import type { Whole } from './Detail.tsx';

interface Happened {
  at: string;
  what: string;
  who?: string | null;
  why?: string | null;
}

export function Timeline({ answer }: { answer: Whole }) {
  return (
    <ol className="timeline">
      {happened(answer).map(({ at, what, who, why }) => (
        <li key={`${at} ${what}`}>
          <When at={at} /> <strong>{what}</strong>
          {who && <By who={<Person id={who} />} />}
          {why && <q>{why}</q>}
        </li>
      ))}
    </ol>
  );
}

function By({ who }: { who: ReactNode }) {
  return (
    <span>
      {' · '}
      {t('by')} {who}
    </span>
  );
}

function happened({ transaction: row, payout_attempts: attempts }: Whole): Happened[] {
  const events: (Happened | false)[] = [
    { at: row.created_at, what: t('event_requested'), who: row.player_id },
    row.reviewed_at !== null && {
      at: row.reviewed_at,
      what: t('event_reviewed', { state: stateWord(row.state === 'rejected' ? 'rejected' : 'approved') }),
      who: row.reviewed_by,
      why: row.review_reason,
    },
    row.state === 'canceled' && { at: row.updated_at, what: t('event_canceled'), who: row.player_id },
    ...attempts.flatMap((attempt): Happened[] => [
      {
        at: attempt.created_at,
        what: t('event_attempt', { n: attempt.attempt_no, provider: attempt.provider }),
        who: attempt.created_by,
        why: attempt.reason,
      },
      ...(attempt.status === 'pending'
        ? []
        : [
            {
              at: attempt.updated_at,
              what: t('event_attempt_end', {
                n: attempt.attempt_no,
                status: t(`attempt_${attempt.status}`),
              }),
              why: attempt.error_code,
            },
          ]),
    ]),
    row.paid_at !== null && { at: row.paid_at, what: t('event_paid'), who: row.paid_by },
  ];
  return events.filter((event) => event !== false).toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
}
