// The kernel's names of decisions, reasons and deliveries in words; a name we have no words for stands for itself.
import type { LedgerRow } from '../../api/client.ts';
import type { Tone } from '../../parts/numbers.tsx';
import { t } from '../../words/events.ts';

const states = ['ACCEPTED', 'OVERAGE', 'REJECTED_QUOTA', 'DEGRADED_CAPTURE', 'RECOVERED'] as const;
const reasons = [
  ...(['default_billable', 'rejected_quota', 'conversion', 'interaction_view'] as const),
  ...(['scroll_depth', 'system', 'canary'] as const),
];

export function stateWords(state: string): string {
  const known = states.find((one) => one === state);
  return known ? t(`state_${known}`) : state;
}

export function reasonWords(reason: string): string {
  const known = reasons.find((one) => one === reason);
  return known ? t(`reason_${known}`) : reason;
}

export function stateTone(state: string): Tone {
  return state === 'ACCEPTED' ? 'good' : state === 'REJECTED_QUOTA' ? 'bad' : 'warn';
}

export const deliveryTones: Record<LedgerRow['delivery'], Tone> = {
  ...{ delivered: 'good', waiting: 'info', failed: 'bad' },
  ...{ removed: 'plain', none: 'plain' },
};
