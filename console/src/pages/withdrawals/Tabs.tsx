// The queues: one tab for each state with how many the other filters leave in it.
import { Link, useSearchParams } from 'wouter';
import { useRead } from '../../api/query.ts';
import { formatCount } from '../../words/format.ts';
import { t } from '../../words/withdrawals.ts';
import { type State, states, stateWord } from './actions.ts';

export interface Filter {
  player_id: string;
  date_from: string;
  date_to: string;
  tenant_id: string;
}
export const all = 'all';

interface TabProps {
  state: State | typeof all;
  filter: Filter;
  current: string;
  usual: string;
}

export function Tabs(props: Omit<TabProps, 'state'>) {
  return (
    <nav className="tabs" aria-label={t('tabs')}>
      {[...states, all as typeof all].map((state) => (
        <Tab key={state} state={state} {...props} />
      ))}
    </nav>
  );
}

function Tab({ state, filter, current, usual }: TabProps) {
  const [search] = useSearchParams();
  const query = { ...filter, limit: 1, ...(state !== all && { state }) };
  const { answer } = useRead('GET /api/v1/finance/withdrawals', { query });
  const link = new URLSearchParams([...search].filter(([name]) => !['state', 'cursor', 'id'].includes(name)));
  if (state !== usual) link.set('state', state);
  return (
    <Link
      href={`/finance/withdrawals?${link}`}
      {...(state === current && { 'aria-current': 'page' as const })}
    >
      {state === all ? t('all') : stateWord(state)}{' '}
      <span className="unit number">{answer ? formatCount(answer.meta.total) : '…'}</span>
    </Link>
  );
}
