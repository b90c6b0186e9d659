// Api: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Api() {
  return (
    <Page title={t('nav_api')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
