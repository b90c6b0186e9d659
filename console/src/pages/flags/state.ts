// What a flag is, in words.
import type { Flag } from '../../api/client.ts';
import { t } from '../../words/flags.ts';
import { formatCount } from '../../words/format.ts';

type Set = Pick<Flag, 'value' | 'rollout_percent'>;

export function stateOf({ value, rollout_percent }: Set): string {
  if (!value) return t('off');
  return rollout_percent === null ? t('on') : t('on_for', { percent: formatCount(rollout_percent) });
}

export function toneOf({ value, rollout_percent }: Set): 'good' | 'info' | 'plain' {
  if (!value) return 'plain';
  return rollout_percent === null ? 'good' : 'info';
}

/** Of a tenant, whose value has no percentage; null is no value of its own. */
export function tenantState(value: boolean | null): string {
  if (value === null) return t('by_rule');
  return t(value ? 'on_tenant' : 'off_tenant');
}
