// A tenant of a test's own with a player and finance, so that its runs and findings are nobody else's.
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { type Call, caller, type MoneyAnswer, openPlayer, type Player } from './money-doors.ts';
import type { TestStack } from './stack.ts';

export const findings_path = '/payments/reconciliation/findings';

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
export type Row = Record<string, any>;

export interface Shop {
  tenant: string;
  player: Player;
  finance: Call;
  /** A run over the last day of the mock provider. */
  run(): Promise<MoneyAnswer>;
  findings(query?: string): Promise<Row[]>;
}

export async function openShop(stack: TestStack): Promise<Shop> {
  const tenant = `t-${randomUUID().slice(0, 13)}`;
  const [player, finance] = [await openPlayer(stack, tenant), await caller(stack, [`finance:${tenant}`])];
  return {
    ...{ tenant, player, finance },
    run: () => finance('POST', '/payments/reconciliation/run?provider=mockpsp'),
    findings: async (query = '') => (await finance('GET', `${findings_path}?${query}`)).body.items,
  };
}

export async function depositAs(player: Player, outcome: string, amount = '1000'): Promise<Row> {
  return (await player.deposit(amount, { 'x-mock-outcome': outcome })).body.transaction;
}

/** A deposit that the provider has captured and told nobody of, and its finding. */
export async function missing(shop: Shop, amount = '1000'): Promise<{ tx: Row; finding: Row }> {
  const tx = await depositAs(shop.player, 'lost', amount);
  expect((await shop.run()).body).toMatchObject({ status: 'ok', run: { stats: { new: '1' } } });
  const [finding = {}] = await shop.findings(`tx_id=${tx.id}`);
  expect(finding).toMatchObject({ finding_type: 'missing_in_ledger', severity: 'ERROR', status: 'OPEN' });
  return { tx, finding };
}
