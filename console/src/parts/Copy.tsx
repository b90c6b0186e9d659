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
        {copied ? '✓' : '⧉'}
      </button>
      <span className="hidden" role="status">
        {copied ? t('copied') : ''}
      </span>
    </span>
  );
}
