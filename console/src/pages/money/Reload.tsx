// Asks every read of the page again.
import { queries } from '../../api/query.ts';
import { t } from '../../words/money.ts';

export function Reload() {
  return (
    <button type="button" onClick={() => void queries.invalidateQueries()}>
      {t('refresh')}
    </button>
  );
}
