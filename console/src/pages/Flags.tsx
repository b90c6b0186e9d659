// Flags: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Flags() {
  return (
    <Page title={t('nav_flags')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
