// Audit: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Audit() {
  return (
    <Page title={t('nav_audit')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
