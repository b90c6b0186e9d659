// The mock payment provider: it keeps its own book in a table, so that what it has decided survives every crash of ours.
import { ask } from '../money-answer.ts';
import type { Database, PaymentProvider, PaymentResult } from '../ports.ts';

export function mockPsp(database: Database): PaymentProvider {
  return {
    name: 'mockpsp',
    async order(action, { key, outcome, ...order }) {
      const call = { action, key, order: JSON.stringify(order), outcome: outcome ?? null };
      const said = await ask(database, 'mockpsp(:action, :key, :order::jsonb, :outcome)', call).catch(
        () => null,
      );
      // No answer, or none yet: it may have paid and may not.
      if (said === null || said.status === 'PENDING') return { status: 'UNKNOWN' };
      const { status, provider_ref, provider_event_id } = said;
      return { status, provider_ref, provider_event_id } as PaymentResult;
    },
  };
}
