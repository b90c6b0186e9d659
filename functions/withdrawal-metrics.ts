// Counts what players are told when they ask for money: the first rollback trigger of docs/rollout.md watches it.
import type { MoneyAnswer } from '../shared/money-answer.ts';
import { metrics } from './runtime.ts';

/** An answer that is given once more is no further request. */
export function countWithdrawal(answer: MoneyAnswer): MoneyAnswer {
  if (answer.replayed) return answer;
  metrics.addMetric('withdraw_requests_total', 'Count', 1);
  metrics.addMetric('insufficient_funds_total', 'Count', answer.code === 'INSUFFICIENT_FUNDS' ? 1 : 0);
  return answer;
}
