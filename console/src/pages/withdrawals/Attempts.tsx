// Each try to pay a withdrawal: its key, what the provider calls it, and how it ended.
import { Id } from '../../parts/Copy.tsx';
import { Badge, type Tone } from '../../parts/numbers.tsx';
import { t } from '../../words/withdrawals.ts';
import { Person } from '../money/Person.tsx';
import type { Whole } from './Detail.tsx';

type Attempt = Whole['payout_attempts'][number];
const tones: Record<Attempt['status'], Tone> = {
  pending: 'warn',
  unknown: 'warn',
  succeeded: 'good',
  failed: 'bad',
};

export function Attempts({ attempts }: { attempts: readonly Attempt[] }) {
  if (attempts.length === 0) return <p className="muted">{t('attempts_none')}</p>;
  return (
    <ol className="attempts">
      {attempts.map((attempt) => (
        <li key={attempt.id} className="card">
          <dl className="pairs">
            <dt>{t('attempt')}</dt>
            <dd>
              {attempt.attempt_no}{' '}
              <Badge tone={tones[attempt.status]}>{t(`attempt_${attempt.status}`)}</Badge>
            </dd>
            <dt>{t('provider')}</dt>
            <dd>{attempt.provider}</dd>
            <dt>{t('attempt_key')}</dt>
            <dd>
              <Id value={attempt.idempotency_key} what={t('attempt_key')} />
            </dd>
            <dt>{t('provider_ref')}</dt>
            <dd>{attempt.provider_ref ? <Id value={attempt.provider_ref} /> : '–'}</dd>
            <dt>{t('attempt_event')}</dt>
            <dd>{attempt.provider_event_id ? <code>{attempt.provider_event_id}</code> : '–'}</dd>
            {attempt.error_code && (
              <>
                <dt>{t('attempt_error')}</dt>
                <dd>
                  <code>{attempt.error_code}</code>
                </dd>
              </>
            )}
            <dt>{t('attempt_by')}</dt>
            <dd>
              <Person id={attempt.created_by} />
            </dd>
          </dl>
        </li>
      ))}
    </ol>
  );
}
