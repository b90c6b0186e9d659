// A site that has heard nothing yet: how to send the first event, and the wait for it.
import { useEffect } from 'react';
import type { Read } from '../../api/query.ts';
import { Section } from '../../parts/Page.tsx';
import { formatTime } from '../../words/format.ts';
import { t } from '../../words/sites.ts';
import { Code } from './Code.tsx';

const looks_every_ms = 3_000;
const placeholder = 'https://YOUR-SITE';

interface FirstEventProps {
  public_id: string;
  /** One that the site allows, where it is known. */
  origin: string | undefined;
  read: Pick<Read<unknown>, 'as_of_ms' | 'retry'>;
}

export function FirstEvent({ public_id, origin = placeholder, read }: FirstEventProps) {
  const { retry } = read;
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && retry(), looks_every_ms);
    return () => clearInterval(timer);
  }, [retry]);
  const from = origin.includes('://') ? origin : `https://${origin}`;
  const kernel = location.origin;
  return (
    <Section title={t('first_title')}>
      <p>{t('first_text')}</p>
      <h3>{t('first_tracker')}</h3>
      <Code
        text={`<script>window.kernel ||= []; kernel.push(['page'])</script>
<script async src="${kernel}/tracker.js" data-site="${public_id}"></script>`}
      />
      <h3>{t('first_curl')}</h3>
      <Code
        text={`curl -i ${kernel}/api/sync -H 'Origin: ${from}' -H 'Content-Type: application/json' \\
  -d '{"s":"${public_id}","url":"${from}/","ec":"page","ea":"view","i":"first-event"}'`}
      />
      {from === placeholder && <p>{t('first_origin', { origin: placeholder })}</p>}
      {read.as_of_ms !== undefined && (
        <p className="muted" aria-live="off">
          {t('first_waiting', { when: formatTime(read.as_of_ms) })}
        </p>
      )}
    </Section>
  );
}
