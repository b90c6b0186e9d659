// The quota of this month: how full it is, where it refuses, and when it begins anew.
import { useRead } from '../../api/query.ts';
import { Badge, Count, type Tone } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { Show } from '../../parts/states.tsx';
import { AsOf, When } from '../../parts/When.tsx';
import { t } from '../../words/sites.ts';
import { QuotaBar } from '../sites/quota.tsx';

const tones = { within: 'good', overage: 'warn', exhausted: 'bad' } satisfies Record<string, Tone>;
const words = { within: 'state_within', overage: 'state_overage', exhausted: 'state_exhausted' } as const;

export function QuotaCard({ site, name }: { site: string; name: string }) {
  const read = useRead('GET /api/sites/{ref}/quota', { path: { ref: site } }, { live: true });
  return (
    <Section title={t('quota')}>
      <Show read={read}>
        {({ quota }) => (
          <div className="card">
            <QuotaBar site={name} used={quota.used} limit={quota.limit} current />
            <p>
              <Badge tone={tones[quota.state]}>{t(words[quota.state])}</Badge> <AsOf at={quota.as_of} />
            </p>
            <dl className="pairs">
              <dt>{t('remaining')}</dt>
              <dd>
                <Count value={quota.remaining} unit={t('events_unit')} />
              </dd>
              <dt>{t('cap')}</dt>
              <dd>
                {quota.cap === null ? (
                  t('never_refuses')
                ) : (
                  <Count value={quota.cap} unit={t('events_unit')} />
                )}
              </dd>
              <dt>{t('resets')}</dt>
              <dd>
                <When at={quota.resets_at} />
              </dd>
            </dl>
          </div>
        )}
      </Show>
    </Section>
  );
}
