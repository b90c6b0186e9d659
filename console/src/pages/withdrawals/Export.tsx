// The CSV of the filter as the kernel writes it: files of some ten thousand rows, one after the other.
import { useState } from 'react';
import { type Call, send } from '../../api/client.ts';
import { download } from '../../parts/Csv.tsx';
import { Failed } from '../../parts/states.tsx';
import { t } from '../../words/withdrawals.ts';
import { t as shell } from '../../words/words.ts';
import { inWords } from '../money/refusal.ts';

type Query = Call<'GET /api/v1/finance/withdrawals/export'>['query'];

export function Export({ query }: { query: Query }) {
  const [making, setMaking] = useState(false);
  const [next, setNext] = useState<string>();
  const [error, setError] = useState<Error>();
  const make = async () => {
    setMaking(true);
    setError(undefined);
    try {
      const asked = { ...query, ...(next && { cursor: next }) };
      const response = await send('GET /api/v1/finance/withdrawals/export', { query: asked });
      download('withdrawals.csv', await response.text(), 'text/csv');
      setNext(response.headers.get('x-next-cursor') ?? undefined);
    } catch (failed) {
      setError(inWords(failed));
    }
    setMaking(false);
  };
  return (
    <>
      <button type="button" disabled={making} onClick={() => void make()}>
        {making ? shell('csv_making') : next ? t('csv_more') : shell('csv')}
      </button>
      {error && <Failed error={error} />}
    </>
  );
}
