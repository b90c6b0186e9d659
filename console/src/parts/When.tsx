// Instants: shown in UTC or local time as the person chose, with the full instant in the title.
import { useEffect, useState } from 'react';
import { useSettings } from '../shell/settings.ts';
import { formatInstant, formatRelative, formatTime, type Instant } from '../words/format.ts';
import { t } from '../words/words.ts';

export interface WhenProps {
  at: Instant | null | undefined;
  /** "2 hours ago" in the place of the instant, which is then in the title. */
  relative?: boolean;
}

export function When({ at, relative }: WhenProps) {
  useSettings();
  const now_ms = useNow(relative ? 30_000 : undefined);
  if (at === null || at === undefined) return <span className="muted">–</span>;
  const iso = typeof at === 'number' ? new Date(at).toISOString() : at;
  return (
    <time dateTime={iso} title={relative ? formatInstant(at) : `${iso} · ${formatRelative(at, now_ms)}`}>
      {relative ? formatRelative(at, now_ms) : formatInstant(at)}
    </time>
  );
}

/** "as of 14:02:11 UTC" */
export function AsOf({ at }: { at: Instant }) {
  useSettings();
  const iso = typeof at === 'number' ? new Date(at).toISOString() : at;
  return (
    <time className="as-of" dateTime={iso} title={iso}>
      {t('as_of', { time: formatTime(at) })}
    </time>
  );
}

function useNow(every_ms: number | undefined): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (every_ms === undefined) return undefined;
    const timer = setInterval(() => setNow(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}
