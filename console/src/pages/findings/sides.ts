// The two sides of a finding, whichever job wrote it down, and what would make the ledger agree.
import type { Whole } from './kinds.ts';

export type Fields = Readonly<Record<string, string>>;
export interface Sides {
  left: Fields | undefined;
  right: Fields | undefined;
  /** What the right side is. */
  right_name: 'ledger';
  left_name: 'provider' | 'legacy';
}

const fieldsOf = (value: unknown): Fields | undefined => {
  if (value === null || typeof value !== 'object') return undefined;
  const { occurred_at, ...rest } = value as Record<string, unknown>;
  const named = { ...rest, ...(occurred_at !== undefined && { at: occurred_at }) };
  return Object.fromEntries(
    Object.entries(named)
      .filter(([, field]) => field !== null && field !== undefined)
      .map(([name, field]) => [name, String(field)]),
  );
};

/** Undefined where there is only one side: the finding is about the ledger itself. */
export function sidesOf({ raw }: Pick<Whole, 'raw'>): Sides | undefined {
  if ('provider' in raw || ('ledger' in raw && 'at' in raw))
    return {
      left: fieldsOf(raw.provider),
      right: fieldsOf(raw.ledger),
      left_name: 'provider',
      right_name: 'ledger',
    };
  if ('legacy' in raw)
    return {
      left: { balance: String(raw.legacy) },
      right: raw.ledger === null ? undefined : { balance: String(raw.ledger) },
      left_name: 'legacy',
      right_name: 'ledger',
    };
  if ('amount_minor' in raw) {
    const { kind, amount_minor, currency, ref } = raw;
    const left = fieldsOf({ kind, amount_minor, currency, ref });
    return { left, right: fieldsOf(raw.expected), left_name: 'provider', right_name: 'ledger' };
  }
  return undefined;
}

/** The ledger knows what was asked for, and has moved nothing: it tells a state in the place of a movement. */
export const notMoved = (side: Fields | undefined) => side?.state !== undefined && side.kind === undefined;

/** Names that both sides should say alike; times and the provider's own names differ by nature. */
const compared = ['kind', 'amount_minor', 'currency', 'balance'];

export function differs(name: string, { left, right }: Sides): boolean {
  if (!left || !right) return true;
  if (name === 'kind' && notMoved(right)) return true;
  if (!compared.includes(name)) return false;
  return left[name] !== undefined && right[name] !== undefined && left[name] !== right[name];
}

/** What the finding is about: a deposit, a withdrawal, a refund. */
export function kindOf(finding: Pick<Whole, 'raw'>): string | undefined {
  const sides = sidesOf(finding);
  return sides?.left?.kind ?? sides?.right?.kind;
}

const signs: Record<string, bigint> = {
  deposit_captured: 1n,
  refund_failed: 1n,
  chargeback_won: 1n,
  withdraw_paid: -1n,
  refund: -1n,
  chargeback: -1n,
};

/** What the wallet lacks to say what the provider says, signed; undefined where that is not to be known. */
export function suggestionOf(finding: Whole): { minor: bigint; currency: string } | undefined {
  const { left, right } = sidesOf(finding) ?? {};
  const sign = signs[kindOf(finding) ?? ''];
  const currency = left?.currency ?? right?.currency;
  if (!('provider' in finding.raw) || sign === undefined || currency === undefined) return undefined;
  if (left && right && left.currency !== right.currency) return undefined;
  const moved = notMoved(right) ? undefined : right?.amount_minor;
  const minor = sign * (BigInt(left?.amount_minor ?? '0') - BigInt(moved ?? '0'));
  return minor === 0n ? undefined : { minor, currency };
}
