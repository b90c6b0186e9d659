// Plans: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Plans() {
  return (
    <Page title={t('nav_plans')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
