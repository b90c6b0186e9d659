// An instant to the second: the decisions on one event are seldom a minute apart.
import { useSettings } from '../../shell/settings.ts';
import { formatDay, formatTime } from '../../words/format.ts';

export function Moment({ at }: { at: string | number | null }) {
  useSettings();
  if (at === null) return <span className="muted">–</span>;
  const iso = typeof at === 'number' ? new Date(at).toISOString() : at;
  return <time dateTime={iso} title={iso}>{`${formatDay(at)}, ${formatTime(at)}`}</time>;
}
