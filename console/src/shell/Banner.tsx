// What concerns every page: no connection, and a newer console than this tab's.
import { useEffect, useState } from 'react';
import { answered, useConnection } from '../api/connection.ts';
import { queries } from '../api/query.ts';
import { isStale } from '../session/config.ts';
import { formatTime } from '../words/format.ts';
import { t } from '../words/words.ts';
import { useSettings } from './settings.ts';

const try_every_ms = 5_000;
const stale_every_ms = 60_000;

export function Banner() {
  useSettings();
  const { lost_since_ms, answered_at_ms } = useConnection();
  const [stale, setStale] = useState(false);
  const isLost = lost_since_ms !== undefined;
  useEffect(() => {
    const ask = async () => {
      const asked_at_ms = Date.now();
      const newer = await isStale().catch(() => undefined);
      if (newer === undefined) return;
      setStale(newer);
      if (!isLost) return;
      answered(asked_at_ms);
      await queries.invalidateQueries();
    };
    const timer = setInterval(() => void ask(), isLost ? try_every_ms : stale_every_ms);
    const now = () => void ask();
    addEventListener('online', now);
    return () => {
      clearInterval(timer);
      removeEventListener('online', now);
    };
  }, [isLost]);
  return (
    <div role="status">
      {isLost && (
        <p className="banner tone-bad">
          {answered_at_ms === undefined
            ? t('offline_unknown', { time: formatTime(lost_since_ms, false) })
            : t('offline', { time: formatTime(lost_since_ms, false), known: formatTime(answered_at_ms) })}
        </p>
      )}
      {stale && (
        <p className="banner tone-info">
          {t('new_build')}{' '}
          <button type="button" onClick={() => location.reload()}>
            {t('reload')}
          </button>
        </p>
      )}
    </div>
  );
}
