// Invoices: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function Invoices() {
  return (
    <Page title={t('nav_invoices')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
