// Dispute: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Dispute() {
  return (
    <Page title={t('nav_dispute')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
