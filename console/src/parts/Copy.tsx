// An id that can be copied, shortened where it is long.
import { useState } from 'react';
import { t } from '../words/words.ts';

/** `what` names it for a screen reader; `href` makes it a link too. */
export function Id({ value, what = t('copy_id'), short }: { value: string; what?: string; short?: boolean }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <span className="id">
      <code title={value}>{short && value.length > 13 ? `${value.slice(0, 8)}…` : value}</code>
      <button type="button" className="quiet" onClick={() => void copy()} aria-label={t('copy', { what })}>
        {copied ? '✓' : <Sheets />}
      </button>
      <span className="hidden" role="status">
        {copied ? t('copied') : ''}
      </span>
    </span>
  );
}

/** Drawn, for fonts have no such sign everywhere. */
function Sheets() {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />
    </svg>
  );
}
