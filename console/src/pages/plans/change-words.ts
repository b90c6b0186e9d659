// An entry of the audit log on a plan in words; of a new plan only what differs from the one before.
import type { AuditEntry } from '../../api/client.ts';
import { formatCount, formatInstant } from '../../words/format.ts';
import { t } from '../../words/plans.ts';

const fields = [
  ...(['plan_tier', 'monthly_limit', 'soft_limit_enabled', 'hard_cap_multiplier', 'billing_policy'] as const),
];
type FieldName = (typeof fields)[number];

export function changeWords({ action, payload }: AuditEntry, before: AuditEntry | undefined): string {
  const told = (name: string) => (typeof payload[name] === 'string' ? payload[name] : undefined);
  switch (action) {
    case 'plan_set':
      return planWords(payload, before?.payload);
    case 'plan_unblock':
      return t('change_unblock', {
        limit: shown('monthly_limit', told('limit')),
        when: formatInstant(told('until') ?? 0),
      });
    case 'plan_unblock_end':
      return t('change_unblock_end');
    case 'billing_enforcement':
      return t(payload.enforced === true ? 'change_on' : 'change_off');
    case 'plan_settlement':
      return told('currency')
        ? t('change_settlement', { price: told('price_per_1k') ?? '?', currency: told('currency') ?? '' })
        : t('change_settlement_none');
    default:
      return action;
  }
}

function planWords(after: AuditEntry['payload'], before: AuditEntry['payload'] | undefined): string {
  const given = fields.filter((name) => after[name] !== undefined);
  if (!before) {
    const what = given.map((name) => `${t(`field_${name}`)} ${shown(name, after[name])}`).join(' · ');
    return t('change_plan', { what });
  }
  const what = given
    .filter((name) => String(after[name]) !== String(before[name]))
    .map((name) => `${t(`field_${name}`)} ${shown(name, before[name])} → ${shown(name, after[name])}`)
    .join(' · ');
  return what ? t('change_plan', { what }) : t('change_same');
}

function shown(name: FieldName, value: unknown): string {
  if (value === undefined || value === null) return '–';
  if (typeof value === 'boolean') return t(value ? 'yes' : 'no');
  const text = String(value);
  if (name === 'billing_policy') return t(text === 'by_kind' ? 'policy_by_kind' : 'policy_all');
  return name === 'monthly_limit' && /^\d+$/.test(text) ? formatCount(text) : text;
}
