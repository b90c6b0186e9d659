// Findings: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Findings() {
  return (
    <Page title={t('nav_findings')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
