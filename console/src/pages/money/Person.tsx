// Who did something: the id of a person, "you", or the system itself.
import { Id } from '../../parts/Copy.tsx';
import { useViewer } from '../../session/viewer.ts';
import { t } from '../../words/money.ts';

export function Person({ id }: { id: string | null | undefined }) {
  const { session } = useViewer();
  if (!id) return <span className="muted">–</span>;
  if (id === session.subject) return <span title={id}>{t('you')}</span>;
  if (id.startsWith('system')) return <span title={id}>{t('system')}</span>;
  return <Id value={id} short />;
}
