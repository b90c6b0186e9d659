// What a reviewer looks at: identity, the hold, whether the destination is known, how often, and open findings.
import { Link } from 'wouter';
import type { Answer } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Show } from '../../parts/states.tsx';
import { t } from '../../words/withdrawals.ts';
import { usePaths } from '../money/tenant.tsx';
import { type Row, verbs } from './actions.ts';

interface Check {
  ok: boolean;
  text: string;
  href?: string;
}
type Wallet = Answer<'GET /api/v1/admin/players/{id}/wallet'>;

const history_size = 200;
const day_ms = 86_400_000;

export function Checks({ row }: { row: Row }) {
  const paths = usePaths();
  const { player_id, tenant_id } = row;
  const wallet = useRead('GET /api/v1/admin/players/{id}/wallet', {
    path: { id: player_id },
    query: { tenant_id },
  });
  const others = useRead('GET /api/v1/finance/withdrawals', {
    query: { player_id, tenant_id, limit: history_size },
  });
  const findings = useRead('GET /api/v1/payments/reconciliation/findings', {
    query: { tx_id: row.id, tenant_id, status: 'OPEN', limit: 1 },
  });
  return (
    <>
      <Show read={wallet}>{(answer) => <List checks={ofPlayer(row, answer)} />}</Show>
      <Show read={others}>{({ items }) => <List checks={ofHistory(row, items)} />}</Show>
      <Show read={findings}>
        {({ meta }) => (
          <List
            checks={[
              meta.total === 0
                ? { ok: true, text: t('check_findings_none') }
                : { ok: false, text: t('check_findings', { n: meta.total }), href: paths.findings(row.id) },
            ]}
          />
        )}
      </Show>
    </>
  );
}

function ofPlayer(row: Row, { player, wallets }: Wallet): Check[] {
  const approved = player.kyc_status === 'approved';
  const verified = player.email_verified && player.sms_verified;
  const held = wallets.find(({ currency }) => currency === row.currency)?.held_real ?? '0';
  const covered = BigInt(held) >= BigInt(row.amount_minor);
  return [
    { ok: approved, text: approved ? t('check_kyc') : t('check_kyc_not', { status: player.kyc_status }) },
    { ok: verified, text: verified ? t('check_verified') : t('check_verified_not') },
    ...(verbs[row.state].length > 0
      ? [{ ok: covered, text: covered ? t('check_held') : t('check_held_not') }]
      : []),
  ];
}

function ofHistory(row: Row, items: readonly Row[]): Check[] {
  const before = items.filter(({ id, created_at }) => id !== row.id && created_at < row.created_at);
  const known = before.some(({ state, address }) => state === 'paid' && address === row.address);
  const since = new Date(Date.parse(row.created_at) - day_ms).toISOString();
  const n = before.filter(({ created_at }) => created_at >= since).length;
  return [
    row.address === null
      ? { ok: false, text: t('check_no_address') }
      : { ok: known, text: known ? t('check_known') : t('check_new') },
    { ok: n < 3, text: t('check_velocity', { n }) },
  ];
}

function List({ checks }: { checks: readonly Check[] }) {
  return (
    <ul className="checks">
      {checks.map(({ ok, text, href }) => (
        <li key={text} className={ok ? 'check-ok' : 'check-look'}>
          <span aria-hidden="true">{ok ? '✓' : '⚠'}</span>{' '}
          <span className="hidden">{ok ? t('check_ok') : t('check_look')}</span>{' '}
          {href ? <Link href={href}>{text}</Link> : text}
        </li>
      ))}
    </ul>
  );
}
