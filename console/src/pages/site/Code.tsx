// A piece of text to be copied: a snippet or a command.
import { useState } from 'react';
import { t } from '../../words/sites.ts';

export function Code({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <div className="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
      <button type="button" onClick={() => void copy()} aria-label={`${t('copy')}: ${t('copy_code')}`}>
        {copied ? t('copied') : t('copy')}
      </button>
      <span className="hidden" role="status">
        {copied ? t('copied') : ''}
      </span>
    </div>
  );
}
