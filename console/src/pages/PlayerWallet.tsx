// PlayerWallet: not built yet.
import { Page } from '../parts/Page.tsx';
import { t } from '../words/words.ts';

export default function PlayerWallet() {
  return (
    <Page title={t('nav_player_wallet')}>
      <p>{t('not_built')}</p>
    </Page>
  );
}
