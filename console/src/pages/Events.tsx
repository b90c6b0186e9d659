// Events: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Events() {
  return (
    <Page title={t('nav_events')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
