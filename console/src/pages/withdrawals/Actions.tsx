// The buttons of a withdrawal: what its state allows, off with the reason for whoever asked for it.
import { useViewer } from '../../session/viewer.ts';
import { t } from '../../words/withdrawals.ts';
import type { Action } from './ActionDialog.tsx';
import { amountOf, type Row, type Verb, verbs } from './actions.ts';

/** What the kernel refuses to whoever asked for the withdrawal. */
const decisions: readonly Verb[] = ['approve', 'reject', 'pay', 'mark_paid', 'retry'];

export function Actions({ row, start }: { row: Row; start: (action: Action) => void }) {
  const { session } = useViewer();
  const own = session.subject === row.player_id;
  const offered = verbs[row.state];
  return (
    <>
      {offered.map((verb, index) => (
        <button
          key={verb}
          type="button"
          className={index === 0 ? 'primary' : undefined}
          disabled={own && decisions.includes(verb)}
          aria-label={t('of_row', { action: t(verb), amount: amountOf(row), id: row.id })}
          onClick={() => start({ verb, row })}
        >
          {t(verb)}
        </button>
      ))}
      {own && offered.some((verb) => decisions.includes(verb)) && (
        <span className="muted small">{t('own')}</span>
      )}
    </>
  );
}
