// A finding: both sides next to each other, who works on it, and what was done about it.
import { useState } from 'react';
import { Link, useParams } from 'wouter';
import { useRead } from '../api/query.ts';
import { Id } from '../parts/Copy.tsx';
import { Badge } from '../parts/numbers.tsx';
import { Page, Section } from '../parts/Page.tsx';
import { Show } from '../parts/states.tsx';
import { When } from '../parts/When.tsx';
import '../styles/money.css';
import { messageOf, t, typeWord } from '../words/findings.ts';
import { formatCount, formatDuration } from '../words/format.ts';
import { t as money } from '../words/money.ts';
import { t as shell } from '../words/words.ts';
import { Corrections } from './findings/Corrections.tsx';
import { tones, type Whole } from './findings/kinds.ts';
import { SidesTable } from './findings/SidesTable.tsx';
import { Steps } from './findings/Steps.tsx';
import { kindOf } from './findings/sides.ts';
import { MovementDialog } from './money/Movement.tsx';
import { Person } from './money/Person.tsx';
import { Reload } from './money/Reload.tsx';
import { usePaths } from './money/tenant.tsx';

export default function Finding() {
  const { id = '' } = useParams();
  const read = useRead('GET /api/v1/payments/reconciliation/findings/{id}', { path: { id } }, { live: true });
  const finding = read.answer?.finding;
  return (
    <Page
      title={finding ? t('finding', { type: typeWord(finding.finding_type) }) : shell('nav_finding')}
      beside={finding && <Badge tone={tones[finding.severity]}>{finding.severity}</Badge>}
      as_of_ms={read.as_of_ms}
      actions={
        <>
          <Link href="/findings">{t('back')}</Link>
          <Reload />
        </>
      }
    >
      <Show read={read}>{(answer) => <Found finding={answer.finding} />}</Show>
    </Page>
  );
}

function Found({ finding }: { finding: Whole }) {
  const [movement, setMovement] = useState<string>();
  return (
    <>
      <p className="lead">{messageOf(finding)}</p>
      <Steps finding={finding} />
      <Section title={t('sides')}>
        <SidesTable finding={finding} />
        <details>
          <summary>{t('raw')}</summary>
          <p>{finding.message}</p>
          <pre>{JSON.stringify(finding.raw, null, 2)}</pre>
        </details>
      </Section>
      <Section title={t('facts')}>
        <Facts finding={finding} />
      </Section>
      <Section title={t('corrections')}>
        <Corrections finding={finding} openMovement={setMovement} />
      </Section>
      {movement && (
        <MovementDialog
          id={movement}
          tenant_id={finding.tenant_id ?? ''}
          open={setMovement}
          onClose={() => setMovement(undefined)}
        />
      )}
    </>
  );
}

function Facts({ finding }: { finding: Whole }) {
  const paths = usePaths();
  const { player_id, tx_id, tenant_id } = finding;
  return (
    <dl className="pairs">
      <dt>{t('status')}</dt>
      <dd>
        {finding.status === 'OPEN' ? (
          <Badge tone="warn">{t('status_OPEN')}</Badge>
        ) : (
          <Badge tone="good">{finding.accepted ? t('accepted') : t('status_RESOLVED')}</Badge>
        )}{' '}
        {finding.age_s !== null && t('age_open', { age: formatDuration(finding.age_s) })}
      </dd>
      <dt>{t('owner')}</dt>
      <dd>{finding.owner ?? t('nobody')}</dd>
      <dt>{t('reopened')}</dt>
      <dd>
        {formatCount(finding.reopened_count)} {t('times')}
      </dd>
      <dt>{t('provider')}</dt>
      <dd>{finding.provider}</dd>
      {tenant_id && (
        <>
          <dt>{money('tenant')}</dt>
          <dd>{tenant_id}</dd>
        </>
      )}
      {player_id && (
        <>
          <dt>{money('player')}</dt>
          <dd>
            <Link href={paths.wallet(player_id, tenant_id)}>
              {t('to_wallet')} <code>{player_id}</code>
            </Link>
          </dd>
        </>
      )}
      {tx_id && (
        <>
          <dt>{t('tx_id')}</dt>
          <dd>
            <Id value={tx_id} what={t('tx_id')} />{' '}
            {kindOf(finding)?.startsWith('withdraw') && (
              <Link href={paths.withdrawal(tx_id, tenant_id)}>{t('to_withdrawal')}</Link>
            )}
          </dd>
        </>
      )}
      <More finding={finding} />
    </dl>
  );
}

function More({ finding }: { finding: Whole }) {
  const rows = [
    [t('event'), finding.provider_event_id && <Id value={finding.provider_event_id} what={t('event')} />],
    [t('reference'), finding.provider_ref && <Id value={finding.provider_ref} what={t('reference')} />],
    [t('run'), finding.run_id && <Id value={finding.run_id} what={t('run')} short />],
    [t('found'), <When key="found" at={finding.created_at} />],
    [t('seen'), <When key="seen" at={finding.seen_at} />],
    [t('resolution'), finding.resolution],
    [t('resolved_by'), finding.resolved_by && <Person id={finding.resolved_by} />],
  ] as const;
  return (
    <>
      {rows
        .filter(([, value]) => value)
        .flatMap(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{value}</dd>])}
    </>
  );
}
