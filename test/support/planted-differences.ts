// Payments of a provider with a difference of a known class planted in what it lists, and what the drift must come to.
import { randomUUID } from 'node:crypto';
import {
  type Books,
  beginDeposit,
  decideWithdrawal,
  deposit,
  hear,
  type Listed,
  listed,
  reversal,
  settleDeposit,
  withdrawal,
} from './provider-books.ts';

export const classes = [
  'missing_in_ledger',
  'missing_in_psp',
  'amount_mismatch',
  'currency_mismatch',
  'status_mismatch',
  'duplicate',
] as const;
export type Class = (typeof classes)[number] | 'none';
export const all = ['none', ...classes] as const;

export const payments = ['deposit', 'withdrawal', 'refund', 'chargeback', 'batch'] as const;
export interface Plan {
  payment: (typeof payments)[number];
  class: Class;
  amount: number;
  currency: 'USD' | 'EUR';
  /** Which of two ways, where a class can come about in two. */
  other: boolean;
}

export interface Planted {
  class: Class;
  /** What the provider lists of it. */
  told: Listed[];
  /** What the ledger moved. */
  moved: Listed[];
  /** The names under which a difference in it may be found. */
  names: string[];
}

/** What a class means for a payment; what it cannot be for, agrees. */
export function classOf({ payment, class: wanted }: Plan): Class {
  const reversed = payment === 'refund' || payment === 'chargeback';
  if (reversed && (wanted === 'duplicate' || wanted === 'status_mismatch')) return 'none';
  return payment === 'batch' && wanted === 'currency_mismatch' ? 'none' : wanted;
}

export async function plant(books: Books, plan: Plan): Promise<Planted> {
  if (plan.payment === 'batch') return plantBatch(books, plan);
  if (plan.payment === 'deposit' || plan.payment === 'withdrawal') return plantPayment(books, plan);
  const { amount, payment, currency } = plan;
  const base = await deposit(books, String(amount * 2), currency);
  const told = reversal(books, base, payment, String(amount));
  if (classOf(plan) !== 'missing_in_ledger') await hear(books, told);
  const planted = differ(plan, told, classOf(plan) === 'missing_in_ledger' ? [] : [told]);
  // Two events that tell of one refund are one refund.
  if (classOf(plan) === 'none' && plan.other) planted.told.push({ ...told, event_id: randomUUID() });
  return { ...planted, told: [base, ...planted.told], moved: [base, ...planted.moved] };
}

async function plantPayment(books: Books, plan: Plan): Promise<Planted> {
  const { payment, other, currency } = plan;
  const amount = String(plan.amount);
  const pays = payment === 'deposit';
  if (plan.class === 'missing_in_ledger') {
    const begun = pays ? beginDeposit(books, amount, currency) : decideWithdrawal(books, amount, currency);
    const row = await begun;
    // Either it waits here, or nobody here has ever heard of it.
    return differ(plan, other ? { ...row, tx_id: randomUUID() } : row, []);
  }
  if (plan.class === 'status_mismatch' && other) {
    const row = pays
      ? await settleDeposit(books, await beginDeposit(books, amount, currency), 'FAILED')
      : await decideWithdrawal(books, amount, currency, 'reject');
    return { class: 'status_mismatch', told: [row], moved: [], names: [row.event_id] };
  }
  const row = await (pays ? deposit(books, amount, currency) : withdrawal(books, amount, currency));
  return differ(plan, row, [row]);
}

function differ(plan: Plan, row: Listed, moved: Listed[]): Planted {
  const again = { ...row, event_id: `again-${row.event_id}` };
  const failed = row.kind === 'deposit_captured' ? 'deposit_failed' : 'withdraw_failed';
  const found = classOf(plan);
  const told: Record<Class, Listed[]> = {
    none: [row],
    missing_in_ledger: [row],
    missing_in_psp: [],
    amount_mismatch: [{ ...row, amount_minor: String(BigInt(row.amount_minor) + 7n) }],
    currency_mismatch: [{ ...row, currency: row.currency === 'USD' ? 'EUR' : 'USD' }],
    status_mismatch: [{ ...row, kind: failed }],
    duplicate: [row, again],
  };
  return { class: found, told: told[found], moved, names: [row.event_id, again.event_id] };
}

/** Three withdrawals that the provider paid in one sum, and lists as its members. */
async function plantBatch(books: Books, plan: Plan): Promise<Planted> {
  const { currency } = plan;
  const found = classOf(plan);
  const paid: Listed[] = [];
  for (let n = 0; n < 3; n += 1) paid.push(await withdrawal(books, String(plan.amount + n), currency));
  const member = ({ tx_id = '', amount_minor }: Listed) => ({ tx_id, amount_minor });
  let members = paid.map(member);
  const [first = member({} as Listed)] = members;
  if (found === 'missing_in_psp') members = members.slice(1);
  if (found === 'amount_mismatch') first.amount_minor = String(plan.amount + 5);
  if (found === 'duplicate') members.push({ ...first });
  if (found === 'missing_in_ledger')
    members.push(member(await decideWithdrawal(books, String(plan.amount), currency)));
  if (found === 'status_mismatch')
    members.push(member(await decideWithdrawal(books, String(plan.amount), currency, 'reject')));
  const sum = members.reduce((total, { amount_minor }) => total + BigInt(amount_minor), 0n);
  const row = { ...listed(books, 'withdraw_paid', '', String(sum), currency), members };
  delete row.tx_id;
  const names = [
    row.event_id,
    ...members.map((_, n) => `${row.event_id}:${n + 1}`),
    ...paid.map((one) => one.event_id),
  ];
  return { class: found, told: [row], moved: paid, names };
}

/** Of each currency, the provider's sum less the ledger's. */
export function driftOf(planted: Planted[]): Record<string, bigint> {
  const drift: Record<string, bigint> = {};
  const add = ({ kind, amount_minor, currency, members }: Listed, sign: bigint) => {
    const direction = { deposit_captured: 1n, withdraw_paid: -1n, refund: -1n, chargeback: -1n }[
      kind as string
    ];
    const amounts = members?.map((one) => one.amount_minor) ?? [amount_minor];
    for (const amount of amounts)
      drift[currency] = (drift[currency] ?? 0n) + (direction ?? 0n) * sign * BigInt(amount);
  };
  for (const { told, moved } of planted) {
    const refs = new Set<string>();
    for (const row of told) {
      if (row.ref === undefined || !refs.has(row.ref)) add(row, 1n);
      refs.add(row.ref ?? '');
    }
    for (const row of moved) add(row, -1n);
  }
  return drift;
}
