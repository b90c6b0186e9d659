// When it happened by the client's clock, and when it was received and delivered by ours.
import type { Receipt } from '../../api/client.ts';
import { languageTag } from '../../shell/settings.ts';
import { t } from '../../words/events.ts';
import { formatDuration } from '../../words/format.ts';
import { Moment } from './Moment.tsx';

/** Fields of the payload that trackers fill. */
const isTime = (value: unknown): value is number => typeof value === 'number' && Math.abs(value) < 8.64e15;

export function Clocks({ receipt: { ledger, delivery } }: { receipt: Receipt }) {
  const payload = delivery.status === 'removed' ? {} : delivery.payload;
  const [occurred, sent, skew] = [payload.t, payload.st, payload.skew_ms];
  const received = ledger.created_at;
  return (
    <>
      <h3>{t('clocks')}</h3>
      <dl className="pairs">
        <dt>{t('clock_occurred')}</dt>
        <dd>
          {isTime(occurred) ? <Moment at={occurred} /> : <span className="muted">{t('clock_untold')}</span>}
          {isTime(skew) && <div>{t('clock_skew', { seconds: formatDuration(Math.abs(skew) / 1000) })}</div>}
        </dd>
        <dt>{t('clock_sent')}</dt>
        <dd>{isTime(sent) ? <Moment at={sent} /> : <span className="muted">{t('clock_stripped')}</span>}</dd>
        <dt>{t('clock_received')}</dt>
        <dd>
          <Moment at={received} />
          {isTime(occurred) && <After from={occurred} to={received} words="clock_after" />}
        </dd>
        <dt>{t('clock_delivered')}</dt>
        <dd>
          {delivery.status === 'delivered' ? (
            <>
              <Moment at={delivery.delivered_at} />
              <After from={Date.parse(received)} to={delivery.delivered_at} words="clock_after_commit" />
            </>
          ) : (
            <span className="muted">{t(`delivery_${delivery.status}`)}</span>
          )}
        </dd>
      </dl>
      <p className="muted small">{t('billed_by')}</p>
    </>
  );
}

interface AfterProps {
  from: number;
  to: string;
  words: 'clock_after' | 'clock_after_commit';
}

function After({ from, to, words }: AfterProps) {
  const passed_ms = Date.parse(to) - from;
  if (passed_ms < 0) return null; // a clock that is ahead: the skew above says so
  return <div className="muted small">{t(words, { duration: formatPassed(passed_ms) })}</div>;
}

function formatPassed(ms: number): string {
  if (ms >= 1_000) return formatDuration(ms / 1_000);
  const unit = { style: 'unit', unit: 'millisecond', unitDisplay: 'short' } as const;
  return new Intl.NumberFormat(languageTag(), unit).format(ms);
}
