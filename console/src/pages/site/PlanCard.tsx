// The plan in force at a site.
import { Link } from 'wouter';
import type { PlanInForce } from '../../api/client.ts';
import { useRead } from '../../api/query.ts';
import { Badge, Count } from '../../parts/numbers.tsx';
import { Section } from '../../parts/Page.tsx';
import { Show } from '../../parts/states.tsx';
import { formatCount, formatInstant } from '../../words/format.ts';
import { t } from '../../words/sites.ts';

/** Where a plan refuses: the floor of limit × multiplier when it is soft, the limit when it is hard. */
export function capOf(limit: string, soft: boolean, multiplier: string): string {
  if (!soft) return limit;
  const [whole = '0', fraction = ''] = multiplier.split('.');
  const scaled = BigInt(`${whole}${fraction}`) * BigInt(limit);
  return String(scaled / 10n ** BigInt(fraction.length));
}

export function PlanCard({ site }: { site: string }) {
  const read = useRead('GET /api/sites/{ref}/plan', { path: { ref: site } });
  return (
    <Section title={t('plan_section')} actions={<Link href="/plans">{t('to_plans')}</Link>}>
      <Show read={read}>
        {({ plan }) => (
          <div className="card">
            <PlanPairs plan={plan} />
          </div>
        )}
      </Show>
    </Section>
  );
}

export function PlanPairs({ plan }: { plan: PlanInForce }) {
  const cap = formatCount(capOf(plan.monthly_limit, plan.soft_limit_enabled, plan.hard_cap_multiplier));
  return (
    <dl className="pairs">
      <dt>{t('tier')}</dt>
      <dd>{plan.plan_tier}</dd>
      <dt>{t('limit')}</dt>
      <dd>
        <Count value={plan.monthly_limit} unit={t('events_unit')} />
      </dd>
      <dt>{t('kind')}</dt>
      <dd>{plan.soft_limit_enabled ? t('soft', { cap }) : t('hard')}</dd>
      <dt>{t('multiplier')}</dt>
      <dd>× {formatCount(plan.hard_cap_multiplier)}</dd>
      <dt>{t('policy')}</dt>
      <dd>{t(plan.billing_policy === 'all' ? 'policy_all' : 'policy_by_kind')}</dd>
      <dt>{t('enforcement')}</dt>
      <dd>
        <Badge tone={plan.billing_enforcement ? 'good' : 'warn'}>
          {t(plan.billing_enforcement ? 'enforced' : 'not_enforced')}
        </Badge>
      </dd>
      {plan.unblock && (
        <>
          <dt>{t('unblocked')}</dt>
          <dd>
            <Badge tone="info">
              {t('unblocked_until', {
                limit: formatCount(plan.unblock.monthly_limit),
                when: formatInstant(plan.unblock.until),
              })}
            </Badge>
          </dd>
        </>
      )}
    </dl>
  );
}
